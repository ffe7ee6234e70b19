//! Versions of the state: for every stretch of writes the values that it overwrote.
//!
//! H1. A version is the id of a layer and means: the state before that layer's first write. A cell's value at a version is its
//!     undo record in the first layer with id >= version that has one, else its present value.
//! H2. A block's end is a version. A call of the present state pins one in the middle of a block.
//! H3. A layer goes only when no kept block and no pin needs it.
//! H4. Pins have a lock of their own. Only the engine's thread adds them, so one that it does not see cannot appear meanwhile;
//!     a call that ends takes its own away without waiting for the state's lock.

use crate::cells::{self, CellKey};
use crate::state::Code;
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, U256Map},
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// Versions kept before the last seal.
pub const BLOCKS_KEPT: u64 = 64;
/// BLOCKHASH reaches this far back.
pub const HASHES_KEPT: u64 = 256;

#[derive(Clone, Copy, Default)]
pub struct BlockContext {
    pub number: u64,
    pub timestamp: u64,
    pub prevrandao: B256,
    pub gas_limit: u64,
}

/// What a layer overwrote of one account; `None` means that the cell was not written in this layer.
#[derive(Default)]
pub struct AccountUndo {
    pub account: Option<(U256, Option<Arc<Code>>)>,
    pub nonce: Option<(u64, B256)>,
    pub slots: U256Map<U256>,
}

pub struct Layer {
    pub id: u64,
    /// Its start is the end of a block, so it may not be merged into the layer before.
    starts_block: bool,
    pub accounts: AddressMap<AccountUndo>,
    /// Number of slot records, for the memory estimate.
    pub slots: usize,
}

struct Closed {
    context: BlockContext,
    version: u64,
}

/// Why a block cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    Pruned { oldest: u64 },
    Unknown { newest: u64 },
}

/// Versions that calls read, and how many calls each.
#[derive(Default)]
pub struct Pins(Mutex<BTreeMap<u64, u32>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u32>> {
        self.0.lock().expect("counting does not panic")
    }

    pub fn add(&self, version: u64) {
        *self.lock().entry(version).or_insert(0) += 1;
    }

    pub fn remove(&self, version: u64) {
        let mut pins = self.lock();
        let count = pins.get_mut(&version).expect("remove follows add");
        *count -= 1;
        if *count == 0 {
            pins.remove(&version);
        }
    }

    fn contains(&self, version: u64) -> bool {
        self.lock().contains_key(&version)
    }

    fn oldest(&self) -> Option<u64> {
        self.lock().keys().next().copied()
    }
}

pub struct History {
    pub layers: VecDeque<Layer>,
    blocks: VecDeque<Closed>,
    hashes: BTreeMap<u64, B256>,
}

impl History {
    pub fn new() -> Self {
        let first = Layer { id: 0, starts_block: true, accounts: AddressMap::default(), slots: 0 };
        Self { layers: VecDeque::from([first]), blocks: VecDeque::new(), hashes: BTreeMap::new() }
    }

    /// The layer that takes the undo records of present writes.
    #[inline]
    pub fn current(&mut self) -> &mut Layer {
        self.layers.back_mut().expect("there is always a current layer")
    }

    /// Version of the present state as long as nothing is written.
    pub fn present(&self) -> u64 {
        self.layers.back().expect("there is always a current layer").id
    }

    /// Layers that may hold records for reads at `version`, oldest first.
    #[inline]
    pub fn since(&self, version: u64) -> impl Iterator<Item = &Layer> {
        let first = self.layers.partition_point(|layer| layer.id < version);
        self.layers.range(first..)
    }

    pub fn close_block(&mut self, context: BlockContext, pins: &Pins) {
        self.merge_mid_block(pins);
        self.push_layer(true);
        let version = self.present();
        self.blocks.push_back(Closed { context, version });
    }

    /// Version and context of a closed block that is still kept.
    pub fn find(&self, number: u64) -> Result<(u64, BlockContext), Unreadable> {
        let newest = self.blocks.back().map_or(0, |block| block.context.number);
        let at = self.blocks.partition_point(|block| block.context.number < number);
        match self.blocks.get(at) {
            Some(block) if block.context.number == number => Ok((block.version, block.context)),
            Some(_) => Err(Unreadable::Pruned { oldest: self.blocks[0].context.number }),
            None => Err(Unreadable::Unknown { newest }),
        }
    }

    pub fn last_closed(&self) -> Option<BlockContext> {
        self.blocks.back().map(|block| block.context)
    }

    /// Pins the present state: writes after this do not show at the returned version.
    pub fn pin_present(&mut self, pins: &Pins) -> u64 {
        if !self.current().accounts.is_empty() {
            self.merge_mid_block(pins);
            self.push_layer(false);
        }
        let version = self.present();
        pins.add(version);
        version
    }

    /// Learns a block's hash and takes out the layers that nothing needs any more; the caller drops them outside the lock.
    pub fn seal(&mut self, number: u64, hash: B256, pins: &Pins) -> Vec<Layer> {
        self.hashes.insert(number, hash);
        let newest = *self.hashes.keys().next_back().expect("just inserted");
        self.hashes = self.hashes.split_off(&newest.saturating_sub(BLOCKS_KEPT + HASHES_KEPT));
        while self.blocks.len() > 1 && self.blocks[0].context.number + BLOCKS_KEPT < number {
            self.blocks.pop_front();
        }
        let Some(oldest) = self.blocks.front() else { return Vec::new() };
        let needed = pins.oldest().map_or(oldest.version, |pinned| oldest.version.min(pinned));
        let mut gone = Vec::new();
        while self.layers[0].id < needed {
            gone.extend(self.layers.pop_front());
        }
        gone
    }

    pub fn hash(&self, number: u64) -> Option<B256> {
        self.hashes.get(&number).copied()
    }

    /// Number of the last sealed block.
    pub fn newest_hash(&self) -> Option<u64> {
        self.hashes.keys().next_back().copied()
    }

    /// True if the cell was written at or after `version`.
    pub fn is_written_since(&self, version: u64, key: &CellKey) -> bool {
        self.since(version).filter_map(|layer| layer.accounts.get(&key.address)).any(|undo| match key.kind {
            cells::ACCOUNT => undo.account.is_some(),
            cells::NONCE => undo.nonce.is_some(),
            _ => undo.slots.contains_key(&key.slot),
        })
    }

    fn push_layer(&mut self, starts_block: bool) {
        let id = self.present() + 1;
        self.layers.push_back(Layer { id, starts_block, accounts: AddressMap::default(), slots: 0 });
    }

    /// Merges neighbours of the open block that no pin keeps apart, so that many short calls do not leave many layers.
    fn merge_mid_block(&mut self, pins: &Pins) {
        let mut at = self.layers.len() - 1;
        while at > 0 && !self.layers[at].starts_block {
            if !pins.contains(self.layers[at].id) {
                let later = self.layers.remove(at).expect("index is in range");
                self.layers[at - 1].absorb(later);
            }
            at -= 1;
        }
    }
}

impl Layer {
    /// The earlier record of a cell wins: it is the value before both layers.
    fn absorb(&mut self, later: Layer) {
        for (address, undo) in later.accounts {
            let mine = self.accounts.entry(address).or_default();
            if mine.account.is_none() {
                mine.account = undo.account;
            }
            mine.nonce = mine.nonce.or(undo.nonce);
            let before = mine.slots.len();
            for (slot, value) in undo.slots {
                mine.slots.entry(slot).or_insert(value);
            }
            self.slots += mine.slots.len() - before;
        }
    }

    /// Estimate of the memory that the records take.
    pub fn bytes(&self) -> usize {
        const SLACK: usize = 2; // A hash table is between 7/16 and 7/8 full.
        SLACK * (self.accounts.len() * size_of::<(Address, AccountUndo)>() + self.slots * size_of::<(U256, U256)>())
    }

    /// Forgets an account that went elsewhere.
    pub fn forget(&mut self, address: &Address) {
        if let Some(undo) = self.accounts.remove(address) {
            self.slots -= undo.slots.len();
        }
    }
}
