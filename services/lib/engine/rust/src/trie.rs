//! The root of a trie over a list, by which a block commits to its transactions and receipts (Yellow Paper, appendix D).
//!
//! T1. Keys are the RLP of the places in the list, so the trie's form follows from their number alone, and none is another's prefix.
//! T2. Nodes are hashed level by level, all of a level together (`keccak.rs`): first the leaves, then what stands on them.

use crate::bytes::Packed;
use crate::keccak::{Messages, hash_all};
use alloy_primitives::B256;
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};

/// Leaves that are encoded and hashed together: a list may have large ones.
const LEAVES_AT_ONCE: usize = 1024;
/// A node of fewer bytes stands itself in its parent, not its hash.
const HASHED_BYTES_MIN: usize = 32;
/// keccak256(rlp(""))
const EMPTY_ROOT: B256 = alloy_primitives::b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// The RLP of a place, as half bytes.
#[derive(Clone, Copy)]
struct Key {
    nibbles: [u8; 10],
    length: usize,
}

impl Key {
    fn new(place: usize) -> Self {
        let encoded = alloy_rlp::encode_fixed_size(&(place as u32));
        let mut nibbles = [0; 10];
        for (at, byte) in encoded.iter().enumerate() {
            (nibbles[2 * at], nibbles[2 * at + 1]) = (byte >> 4, byte & 15);
        }
        Self { nibbles, length: 2 * encoded.len() }
    }
}

/// How a node stands in its parent: the RLP of its hash, or itself.
#[derive(Clone, Copy)]
struct Reference {
    bytes: [u8; 33],
    length: u8,
}

impl Reference {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A node by its level and its place there.
#[derive(Clone, Copy)]
struct Node {
    level: usize,
    place: usize,
}

enum Inner {
    /// The half bytes from the first to the second of this key.
    Extension {
        key: Key,
        from: usize,
        to: usize,
        child: Node,
    },
    Branch {
        children: Box<[Option<Node>; 16]>,
    },
}

/// Places of a list in the order of their keys, and the nodes over them.
struct Trie {
    places: Vec<usize>,
    /// By number of the leaf: half bytes of its key that stand above it.
    depths: Vec<usize>,
    /// Level 1 and higher.
    levels: Vec<Vec<Inner>>,
}

/// The root over `count` values; `put` appends the value at a place.
pub fn ordered_root(count: usize, mut put: impl FnMut(usize, &mut Vec<u8>)) -> B256 {
    if count == 0 {
        return EMPTY_ROOT;
    }
    let mut trie = Trie { places: in_key_order(count), depths: vec![0; count], levels: Vec::new() };
    let root = trie.build(0, count, 0);
    let mut messages = Messages::default();
    let mut value = Vec::new();
    let mut hashed = vec![Vec::with_capacity(count)];
    for (group, places) in trie.places.chunks(LEAVES_AT_ONCE).enumerate() {
        messages.clear();
        for (number, place) in places.iter().enumerate() {
            value.clear();
            put(*place, &mut value);
            put_leaf(&mut messages.bytes, &Key::new(*place), trie.depths[group * LEAVES_AT_ONCE + number], &value);
            messages.end();
        }
        if root.level == 0 {
            return hash_all(&messages.all())[0]; // A single leaf: the root is always a hash.
        }
        hash_nodes(&messages, &mut hashed[0]);
    }
    for level in &trie.levels {
        messages.clear();
        for inner in level {
            put_inner(&mut messages.bytes, inner, &hashed);
            messages.end();
        }
        if hashed.len() == root.level {
            return hash_all(&messages.all())[0];
        }
        let mut references = Vec::with_capacity(level.len());
        hash_nodes(&messages, &mut references);
        hashed.push(references);
    }
    unreachable!("the root stands on the last level")
}

/// 0 is encoded as 0x80: behind 1 to 127, before 128.
fn in_key_order(count: usize) -> Vec<usize> {
    let small = count.min(128);
    (1..small).chain([0]).chain(small..count).collect()
}

impl Trie {
    fn key(&self, number: usize) -> Key {
        Key::new(self.places[number])
    }

    /// The node over leaves `first` up to `end`, whose keys are the same in the first `depth` half bytes.
    fn build(&mut self, first: usize, end: usize, depth: usize) -> Node {
        if end - first == 1 {
            self.depths[first] = depth;
            return Node { level: 0, place: first };
        }
        let (key, last) = (self.key(first), self.key(end - 1));
        let same = (depth..).find(|at| key.nibbles[*at] != last.nibbles[*at]).expect("no key is another's prefix");
        let branch = self.branch(first, end, same);
        if same == depth {
            return branch;
        }
        self.push(branch.level + 1, Inner::Extension { key, from: depth, to: same, child: branch })
    }

    fn branch(&mut self, first: usize, end: usize, depth: usize) -> Node {
        let mut children = Box::new([None; 16]);
        let mut level = 0;
        let mut start = first;
        while start < end {
            let nibble = self.key(start).nibbles[depth];
            let stop = start + self.places[start..end].partition_point(|place| Key::new(*place).nibbles[depth] == nibble);
            let child = self.build(start, stop, depth + 1);
            level = level.max(child.level + 1);
            children[usize::from(nibble)] = Some(child);
            start = stop;
        }
        self.push(level, Inner::Branch { children })
    }

    fn push(&mut self, level: usize, inner: Inner) -> Node {
        if self.levels.len() < level {
            self.levels.resize_with(level, Vec::new);
        }
        let nodes = &mut self.levels[level - 1];
        nodes.push(inner);
        Node { level, place: nodes.len() - 1 }
    }
}

fn hash_nodes(messages: &Messages, out: &mut Vec<Reference>) {
    let nodes = messages.all();
    let hashes = hash_all(&nodes);
    out.extend(nodes.iter().zip(&hashes).map(|(node, hash)| {
        let mut bytes = [0; 33];
        if node.len() < HASHED_BYTES_MIN {
            bytes[..node.len()].copy_from_slice(node);
            return Reference { bytes, length: node.len() as u8 };
        }
        bytes[0] = EMPTY_STRING_CODE + 32;
        bytes[1..].copy_from_slice(hash.as_slice());
        Reference { bytes, length: 33 }
    }));
}

/// Half bytes packed with a flag for an odd number and one for leaves ("hex prefix"), and their number.
fn path(nibbles: &[u8], is_leaf: bool) -> ([u8; 6], usize) {
    let mut packed = [0; 6];
    let is_odd = nibbles.len() % 2;
    packed[0] = if is_leaf { 0x20 } else { 0 } + if is_odd == 1 { 0x10 + nibbles[0] } else { 0 };
    for (at, pair) in nibbles[is_odd..].chunks_exact(2).enumerate() {
        packed[at + 1] = pair[0] << 4 | pair[1];
    }
    (packed, 1 + nibbles.len() / 2)
}

fn put_leaf(out: &mut Vec<u8>, key: &Key, depth: usize, value: &[u8]) {
    let (path, length) = path(&key.nibbles[depth..key.length], true);
    let path = &path[..length];
    Header { list: true, payload_length: path.length() + value.length() }.encode(out);
    path.encode(out);
    value.encode(out);
}

fn put_inner(out: &mut Vec<u8>, inner: &Inner, hashed: &[Vec<Reference>]) {
    let reference = |node: &Node| hashed[node.level][node.place].as_bytes();
    match inner {
        Inner::Extension { key, from, to, child } => {
            let (path, length) = path(&key.nibbles[*from..*to], false);
            let path = &path[..length];
            Header { list: true, payload_length: path.length() + reference(child).len() }.encode(out);
            path.encode(out);
            out.put(reference(child));
        }
        Inner::Branch { children } => {
            let lengths = children.iter().map(|child| child.as_ref().map_or(1, |child| reference(child).len()));
            Header { list: true, payload_length: lengths.sum::<usize>() + 1 }.encode(out);
            for child in children.iter() {
                out.put(child.as_ref().map_or(&[EMPTY_STRING_CODE], |child| reference(child)));
            }
            out.put_u8(EMPTY_STRING_CODE); // No key ends at a branch (T1).
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::root::ordered_trie_root_with_encoder;

    /// A value of every length from 1 on, and of one length.
    fn check(count: usize, bytes: impl Fn(usize) -> usize) {
        let values: Vec<Vec<u8>> = (0..count).map(|place| vec![place as u8 | 1; bytes(place)]).collect();
        let expected = ordered_trie_root_with_encoder(&values, |value, out| out.put(value));
        assert_eq!(ordered_root(count, |place, out| out.put(&values[place])), expected, "{count} values");
    }

    #[test]
    fn is_the_root_that_the_crate_gives() {
        for count in (0..300).chain([1000, 4095, 4096, 4097, 66_000]) {
            check(count, |_| 100);
        }
        for count in [1, 2, 17, 130, 300, 5000] {
            check(count, |_| 1);
            check(count, |_| 9);
            check(count, |place| 1 + place % 70);
        }
        assert_eq!(ordered_root(0, |_, _| ()), alloy_trie::EMPTY_ROOT_HASH);
    }
}
