//! Whether a text can hold any of some texts at all: told by three bytes of each, in one quick pass.
//!
//! May say yes where there is none, never no where there is one that anything follows.

/// Bytes that are looked at together.
const GRAM: usize = 3;
/// Places in the table, a bit each.
const PLACES: usize = 1 << 16;

/// Three bytes of each text that is looked for.
pub(super) struct Grams(Box<[u64]>);

impl Grams {
    pub(super) fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut grams = Self(vec![0; PLACES / 64].into());
        for text in texts.into_iter().map(str::as_bytes) {
            if let Some(rarest) =
                text.windows(GRAM).max_by_key(|gram| gram.iter().copied().map(rarity).sum::<u32>())
            {
                grams.add(rarest);
            } else {
                // Whatever follows a text that is shorter.
                (0..=u8::MAX).for_each(|last| grams.add(&[text, &[last]].concat()));
            }
        }
        grams
    }

    fn add(&mut self, gram: &[u8]) {
        debug_assert_eq!(gram.len(), GRAM);
        let number = gram.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let place = place(number);
        self.0[place / 64] |= 1 << (place % 64);
    }

    /// Whether one of the texts may be in `text`, with at least a byte behind it.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let table = &self.0[..PLACES / 64];
        let has = |number: u32| {
            let place = place(number);
            table[place / 64] >> (place % 64) & 1 == 1
        };
        let within = bytes.array_windows::<4>().any(|four| has(u32::from_le_bytes(*four) & 0x00ff_ffff));
        within
            || bytes
                .last_chunk::<GRAM>()
                .is_some_and(|&[one, two, three]| has(u32::from_le_bytes([one, two, three, 0])))
    }
}

fn place(number: u32) -> usize {
    (number.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// How seldom a byte is in what people and machines write.
fn rarity(byte: u8) -> u32 {
    match byte {
        b' ' => 0,
        b'b' | b'j' | b'k' | b'p' | b'q' | b'v' | b'w' | b'x' | b'y' | b'z' => 3,
        b'a'..=b'z' => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_missed() {
        let texts = ["sk-", "SK", "password", "-----BEGIN ", "://", "eyJ"];
        let grams = Grams::of(texts);
        for text in texts {
            for (before, behind) in [("", "é"), ("a", "bc"), ("abcdefg", "\"")] {
                assert!(grams.may_be_in(&format!("{before}{text}{behind}")), "{text}");
            }
        }
        assert!(!grams.may_be_in("") && !grams.may_be_in("SK") && !grams.may_be_in("nothing of the kind"));
    }
}
