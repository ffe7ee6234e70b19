//! Bloom filters of a block's logs: three bits for each address and topic (Yellow Paper, 4.3.1).
//!
//! Many logs have the same words: each is hashed once in a block, all of them together (`keccak.rs`). The block's filter has the bits of
//! all words; which of them are a receipt's is noted only of those whose leaf has a filter of its own.

use crate::keccak::hash_all;
use crate::record::LogView;
use alloy_primitives::{B256, Bloom, map::HashMap};

const BITS: usize = 8 * 256;

/// The words of a block's logs.
#[derive(Default)]
pub struct Words<'a> {
    numbers: HashMap<&'a [u8], u32>,
    all: Vec<&'a [u8]>,
    /// Numbers of the words of the receipts with a filter, one behind the other.
    noted: Vec<u32>,
    /// By receipt: where its numbers end.
    ends: Vec<usize>,
    /// Address and first topic of the log before, which are most often those of the next one too.
    last: [(&'a [u8], u32); 2],
}

impl<'a> Words<'a> {
    /// Takes the logs of the next receipt.
    pub fn add(&mut self, logs: impl Iterator<Item = LogView<'a>>, is_noted: bool) {
        for LogView { address, topics, .. } in logs {
            for (place, word) in std::iter::once(address).chain(topics.chunks_exact(32)).enumerate() {
                let number = self.number(place, word);
                if is_noted {
                    self.noted.push(number);
                }
            }
        }
        self.ends.push(self.noted.len());
    }

    fn number(&mut self, place: usize, word: &'a [u8]) -> u32 {
        if let Some((last, number)) = self.last.get(place)
            && *last == word
        {
            return *number;
        }
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(word).or_insert(next);
        if number == next {
            self.all.push(word);
        }
        if let Some(last) = self.last.get_mut(place) {
            *last = (word, number);
        }
        number
    }

    pub fn hash(self) -> Blooms {
        Blooms { hashes: hash_all(&self.all), noted: self.noted, ends: self.ends }
    }
}

pub struct Blooms {
    hashes: Vec<B256>,
    noted: Vec<u32>,
    ends: Vec<usize>,
}

impl Blooms {
    pub fn of_all(&self) -> Bloom {
        filter(self.hashes.iter())
    }

    /// Of the receipt with this number.
    pub fn of(&self, receipt: usize) -> Bloom {
        let start = if receipt == 0 { 0 } else { self.ends[receipt - 1] };
        filter(self.noted[start..self.ends[receipt]].iter().map(|number| &self.hashes[*number as usize]))
    }
}

fn filter<'a>(hashes: impl Iterator<Item = &'a B256>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for hash in hashes {
        for at in [0, 2, 4] {
            let bit = usize::from(u16::from_be_bytes([hash[at], hash[at + 1]])) % BITS;
            bloom[(BITS - 1 - bit) / 8] |= 1 << (bit % 8);
        }
    }
    bloom
}
