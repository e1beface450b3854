//! Dead letters that are meant: protobuf → domain.

use crate::error::ApiError;
use crate::pb;
use crate::store::dead_letters::Selection;

use super::property::is_name;
use super::rules::Violations;

/// Numbers of a selection at most.
const MAX_NUMBERS: usize = 1_000;

/// Which dead letters are meant. That the caller may see the property is not checked here.
pub fn selection(selection: Option<pb::DeadLetterSelection>) -> Result<Selection, ApiError> {
    let Some(selection) = selection else {
        return Err(ApiError::invalid("selection", "is absent"));
    };
    let mut v = Violations::default();
    let property = Some(selection.property).filter(|name| !name.is_empty());
    if property.as_deref().is_some_and(|name| !is_name(name)) {
        v.add("selection.property", "is not the name of a property");
    }
    match (selection.all, selection.numbers.len()) {
        (true, 0) | (false, 1..=MAX_NUMBERS) => {}
        (false, 0) => v.add("selection", "has neither numbers nor all, need one of them"),
        (true, _) => v.add("selection", "has both numbers and all, need one of them"),
        (false, count) => v.add(
            "selection.numbers",
            format!("{count} numbers, need at most {MAX_NUMBERS}"),
        ),
    }
    v.finish_call(Selection {
        property,
        numbers: (!selection.all).then_some(selection.numbers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_or_all_are_meant() {
        let of = |numbers: &[i64], all| {
            selection(Some(pb::DeadLetterSelection {
                property: String::new(),
                numbers: numbers.to_vec(),
                all,
            }))
        };
        let meant = |numbers: Option<&[i64]>| {
            Ok(Selection {
                property: None,
                numbers: numbers.map(<[i64]>::to_vec),
            })
        };
        assert_eq!(of(&[], true), meant(None));
        assert_eq!(of(&[7; 1_000], false), meant(Some(&[7; 1_000])));
        assert!(of(&[7; 1_001], false).is_err());
        assert!(of(&[], false).is_err());
        assert!(of(&[7], true).is_err());
        assert!(selection(None).is_err());
    }
}
