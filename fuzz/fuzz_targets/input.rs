//! The fuzzer's bytes, taken from the front; zeros when they run out.

/// What is left of them.
pub struct Input<'b>(pub &'b [u8]);

impl<'b> Input<'b> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// So many bytes, or what is left.
    pub fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Mostly small, and sometimes near the ends of what a number can be.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => small.into(),
            near @ 200..=219 => (i64::MAX as u64).wrapping_add(near.into()) - 210,
            near @ 220..=239 => u64::MAX - u64::from(near - 220),
            near @ 240..=249 => u64::from(u32::MAX) + 245 - u64::from(near),
            _ => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                u64::from_le_bytes(bytes)
            }
        }
    }
}
