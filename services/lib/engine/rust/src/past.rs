//! Hashes of past blocks in state (EIP-2935).
//!
//! P1. Slot number % 8191 of the history account holds the hash of block `number`, for every transaction of a later block.
//! P2. That hash comes by `seal`, later than its block. So of the last 256 blocks the seals tell it: to every engine, who owns the
//!     account or not. Of a closed block without a seal nobody can tell; who asks waits as with BLOCKHASH.
//! P3. Older ones stand in the account's slots, into which only the partition's own rules write (core's history-account.ts).
//! P4. Which of the two it is follows from slot and open block alone, so a replay from a snapshot touches the same.

use crate::history::{HASHES_KEPT, History};
use alloy_primitives::{Address, B256, U256, address};

pub const ACCOUNT: Address = address!("0000F90827F1C53a10cb7A02335B175320002935");
const RING: u64 = 8191;

/// What a slot of the history account holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Past {
    Hash(B256),
    /// The hash of this block, which has no seal yet.
    Unsealed(u64),
    /// What the slot says.
    Slot,
}

/// The block among the last 256 before `number` whose hash a slot holds.
fn block_of(slot: &U256, number: u64) -> Option<u64> {
    let slot = u64::try_from(*slot).ok().filter(|slot| *slot < RING)?;
    let parent = number.checked_sub(1)?;
    let back = (parent % RING + RING - slot) % RING;
    (back < HASHES_KEPT).then(|| parent.checked_sub(back)).flatten()
}

impl History {
    /// A slot of the history account as block `number` sees it.
    pub fn past(&self, slot: &U256, number: u64) -> Past {
        let Some(block) = block_of(slot, number) else { return Past::Slot };
        match self.hash(block) {
            Some(hash) => Past::Hash(hash),
            None if self.newest_hash().is_none_or(|newest| block > newest) => Past::Unsealed(block),
            None => Past::Slot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Pins;

    #[test]
    fn a_slot_belongs_to_one_of_the_last_256_blocks_or_to_none() {
        let of = |slot: u64, number: u64| block_of(&U256::from(slot), number);
        assert_eq!([of(0, 0), of(0, 1), of(1, 1), of(8190, 1)], [None, Some(0), None, None]);
        assert_eq!([of(44, 300), of(43, 300), of(299, 300), of(300, 300)], [Some(44), None, Some(299), None]);
        assert_eq!([of(8190, 8191), of(0, 8192), of(8190, 8192), of(0, 8191)], [Some(8190), Some(8191), Some(8190), None]);
        assert_eq!([of(8191, 8192), block_of(&U256::MAX, 8192)], [None, None]);
    }

    #[test]
    fn a_hash_is_told_from_its_seal_on() {
        let mut history = History::new();
        assert_eq!(history.past(&U256::ZERO, 1), Past::Unsealed(0));
        history.seal(0, B256::repeat_byte(7), &Pins::default());
        assert_eq!(history.past(&U256::ZERO, 1), Past::Hash(B256::repeat_byte(7)));
        assert_eq!(history.past(&U256::from(1), 2), Past::Unsealed(1));
        assert_eq!(history.past(&U256::ZERO, 400), Past::Slot);
    }
}
