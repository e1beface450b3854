//! Who PostgreSQL runs as. It refuses to run as root, so a service that is root gives it an unprivileged user;
//! otherwise it runs as the service does.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::{At, EngineError};

/// The user that PostgreSQL and initdb run as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    uid: u32,
    gid: u32,
    /// The service is root: processes switch to the account, and its directories are given to it.
    switch: bool,
}

impl Account {
    /// The user named, else as root `postgres` if there is one, else `nobody`. Without root there is no choice.
    pub(super) fn resolve(run_as: Option<&str>) -> Result<Account, EngineError> {
        let own_uid = rustix::process::geteuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if own_uid != 0 {
            let own_name = passwd_entries(&passwd)
                .find(|(_, uid, _)| *uid == own_uid)
                .map_or_else(|| own_uid.to_string(), |(name, _, _)| name.to_owned());
            if let Some(user) = run_as.filter(|user| *user != own_name) {
                return Err(EngineError::Account {
                    user: user.to_owned(),
                    problem: "is another than the service's own; only root can choose it",
                });
            }
            return Ok(Account {
                name: own_name,
                uid: own_uid,
                gid: rustix::process::getegid().as_raw(),
                switch: false,
            });
        }
        let wanted: &[&str] = match &run_as {
            Some(user) => &[*user],
            None => &["postgres", "nobody"],
        };
        let found = wanted
            .iter()
            .find_map(|user| passwd_entries(&passwd).find(|(name, _, _)| name == user));
        let refused = |problem| EngineError::Account {
            user: wanted.join(" or "),
            problem,
        };
        let (name, uid, gid) = found.ok_or_else(|| refused("is not in /etc/passwd"))?;
        if uid == 0 {
            return Err(refused("is root, which PostgreSQL refuses"));
        }
        Ok(Account {
            name: name.to_owned(),
            uid,
            gid,
            switch: true,
        })
    }

    /// Lets a command run as this account. std drops root's supplementary groups with the uid.
    pub(super) fn apply_to(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
    }

    pub(super) fn owns(&self, metadata: &fs::Metadata) -> bool {
        metadata.uid() == self.uid
    }

    pub(super) fn is_switched(&self) -> bool {
        self.switch
    }

    /// Makes the account the owner of a file or directory of the engine's.
    pub(super) fn take(&self, path: &Path) -> Result<(), EngineError> {
        if !self.switch {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).at("give the database's user", path)
    }

    /// The same for an open file, which no link can stand in for.
    pub(super) fn take_file(&self, file: &fs::File, path: &Path) -> Result<(), EngineError> {
        if !self.switch {
            return Ok(());
        }
        fchown(file, Some(self.uid), Some(self.gid)).at("give the database's user", path)
    }

    /// Lets the account, and nobody else, enter a directory that stays its owner's.
    pub(super) fn let_through(&self, dir: &Path) -> Result<(), EngineError> {
        chown(dir, None, Some(self.gid)).at("open to the database's group", dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o710))
            .at("open to the database's group", dir)
    }

    /// A directory of the account's own that nobody else may enter; one that exists is made so.
    pub(super) fn make_private_dir(&self, path: &Path) -> Result<(), EngineError> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700)).at("protect", path)?;
            }
            created => created.at("create", path)?,
        }
        self.take(path)
    }

    /// The first directory on the way to (and including) `path` that the account may not enter. Symlinks must
    /// have been resolved; access control lists are not looked at.
    pub(super) fn blocked_at(&self, path: &Path) -> Option<PathBuf> {
        let mut on_the_way: Vec<&Path> = path.ancestors().collect();
        on_the_way.reverse();
        on_the_way
            .into_iter()
            .filter_map(|dir| fs::metadata(dir).ok().map(|metadata| (dir, metadata)))
            .find(|(_, metadata)| metadata.is_dir() && !self.may_enter(metadata))
            .map(|(dir, _)| dir.to_path_buf())
    }

    pub(super) fn require_reach(&self, path: &Path) -> Result<(), EngineError> {
        match self.blocked_at(path) {
            Some(dir) => Err(EngineError::NotTraversable {
                dir,
                user: self.name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn may_enter(&self, metadata: &fs::Metadata) -> bool {
        let enter = if metadata.uid() == self.uid {
            0o100
        } else if metadata.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        metadata.mode() & enter != 0
    }
}

/// Creates a directory and its missing parents, enterable by everybody whatever the umask is: the account must
/// get through.
pub(super) fn create_open_dir(path: &Path) -> Result<(), EngineError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_open_dir(parent)?;
    }
    match fs::create_dir(path) {
        // Another start got there first.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => {
            created.at("create", path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at("open", path)
        }
    }
}

/// With symlinks resolved as far as the path exists.
pub(super) fn resolved(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            return if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    path.to_path_buf()
}

/// (name, uid, gid) of every well-formed line.
fn passwd_entries(passwd: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((name, uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_are_read_and_malformed_ones_skipped() {
        let entries: Vec<_> = passwd_entries(
            "postgres:x:101:104:,,,:/var/lib:/bin/sh\n\n+::::::\nnobody:x:65534:65533::/:/x",
        )
        .collect();
        assert_eq!(entries, [("postgres", 101, 104), ("nobody", 65534, 65533)]);
    }

    #[test]
    fn the_first_closed_ancestor_is_named() {
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let inner = closed.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let account = Account {
            name: "somebody".into(),
            uid: 4_000_000,
            gid: 4_000_000,
            switch: true,
        };
        assert_eq!(account.blocked_at(&inner).as_deref(), Some(closed.path()));
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(account.blocked_at(&inner), None);
    }
}
