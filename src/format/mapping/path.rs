//! Where a row of a table puts its value, as it is written: `a.b.c` is `"a":{"b":{"c":`.
//!
//! Owns what is known of a path before any record comes, so that writing one is copying.

/// Most objects that a path leads through.
const LEVELS: usize = 4;
/// Longest path, with its punctuation.
const LONGEST: usize = 80;

/// A path, taken apart.
pub(in crate::format) struct Path {
    text: [u8; LONGEST],
    /// Where each key begins in it; behind the last one, its end.
    starts: [u8; LEVELS + 2],
    /// How many objects it leads through.
    objects: usize,
    /// A hash of the way to each of them, so that two paths are compared by few numbers.
    ways: [u64; LEVELS],
}

impl Path {
    #[expect(clippy::cast_possible_truncation, reason = "a longer path than 80 bytes does not compile")]
    pub(in crate::format) const fn of(target: &str) -> Self {
        let target = target.as_bytes();
        let mut path = Self { text: [0; LONGEST], starts: [0; LEVELS + 2], objects: 0, ways: [0; LEVELS] };
        let (mut from, mut to, mut way) = (0, 1, 0xcbf2_9ce4_8422_2325_u64);
        path.text[0] = b'"';
        while from < target.len() {
            let byte = target[from];
            way = (way ^ byte as u64).wrapping_mul(0x0100_0000_01b3);
            if byte == b'.' {
                path.ways[path.objects] = way;
                path.objects += 1;
                to = copy(&mut path.text, to, b"\":{\"");
                path.starts[path.objects] = to as u8 - 1;
            } else {
                to = copy(&mut path.text, to, &[byte]);
            }
            from += 1;
        }
        to = copy(&mut path.text, to, b"\":");
        path.starts[path.objects + 1] = to as u8;
        path
    }

    /// How many objects it leads through.
    pub(super) fn objects(&self) -> usize {
        self.objects
    }

    /// How many objects both lie in.
    pub(super) fn common(&self, other: &Self) -> usize {
        let most = self.objects.min(other.objects);
        self.ways[..most].iter().zip(&other.ways).take_while(|(one, other)| one == other).count()
    }

    /// What is written where `open` of its objects are open.
    pub(super) fn behind(&self, open: usize) -> &[u8] {
        &self.text[usize::from(self.starts[open])..usize::from(self.starts[self.objects + 1])]
    }
}

const fn copy(text: &mut [u8; LONGEST], at: usize, bytes: &[u8]) -> usize {
    let mut copied = 0;
    while copied < bytes.len() {
        text[at + copied] = bytes[copied];
        copied += 1;
    }
    at + copied
}
