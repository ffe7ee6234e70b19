//! What is known of cells that other partitions own, so that an execution can go on where a cell is missing.
//!
//! K1. A last known value is a guess: what was executed on it is provisional and is executed again with the real one.
//! K2. Code never changes under its hash, nor does the code of a contract that stood at the end of a closed block (EIP-6780): these
//!     two are facts.
//! K3. Bounded by two generations: what was not seen again while the young one filled is forgotten. Nothing here depends on the
//!     order of a hash table, so two engines that did the same know the same.

use crate::cells::Cell;
use crate::cellset::analyse;
use alloy_primitives::{
    Address, B256, KECCAK256_EMPTY, U256, keccak256,
    map::{AddressMap, B256Map, U256Map},
};
use revm::bytecode::Bytecode;
use std::mem::take;

/// Cells of one generation, and bytes of code of one.
const CELLS_MAX: usize = 50_000;
const CODE_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Default)]
struct KnownAccount {
    account: Option<(U256, B256)>,
    nonce: Option<u64>,
    /// Hash of the code of a contract that stood at the end of a closed block: a fact.
    contract: Option<B256>,
    slots: U256Map<U256>,
}

#[derive(Default)]
pub struct Known {
    young: AddressMap<KnownAccount>,
    old: AddressMap<KnownAccount>,
    cells: usize,
    codes_young: B256Map<Bytecode>,
    codes_old: B256Map<Bytecode>,
    code_bytes: usize,
}

impl Known {
    /// Estimate of the memory that it takes.
    pub fn bytes(&self) -> usize {
        const CELL_BYTES: usize = 256; // An account with two cells or two slots, and the tables' slack.
        let cells = self.cells + if self.old.is_empty() { 0 } else { CELLS_MAX };
        let codes = self.code_bytes + if self.codes_old.is_empty() { 0 } else { CODE_BYTES_MAX };
        cells * CELL_BYTES + codes
    }

    fn find<T>(&self, address: &Address, part: impl Fn(&KnownAccount) -> Option<T>) -> Option<T> {
        let in_young = self.young.get(address).and_then(&part);
        in_young.or_else(|| self.old.get(address).and_then(&part))
    }

    /// Balance and code hash.
    pub fn account(&self, address: &Address) -> Option<(U256, B256)> {
        self.find(address, |known| known.account)
    }

    pub fn nonce(&self, address: &Address) -> Option<u64> {
        self.find(address, |known| known.nonce)
    }

    pub fn contract(&self, address: &Address) -> Option<B256> {
        self.find(address, |known| known.contract)
    }

    pub fn slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        self.find(address, |known| known.slots.get(slot).copied())
    }

    pub fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes_young.get(hash).or_else(|| self.codes_old.get(hash))
    }

    /// Hash and analysed code, kept for the next time.
    pub fn analysed(&mut self, code: &[u8]) -> (B256, Bytecode) {
        let hash = keccak256(code);
        let bytecode = self.code(&hash).cloned().unwrap_or_else(|| analyse(code).1);
        self.put_code(hash, &bytecode);
        (hash, bytecode)
    }

    fn put_code(&mut self, hash: B256, bytecode: &Bytecode) {
        if hash == KECCAK256_EMPTY || self.codes_young.contains_key(&hash) {
            return;
        }
        if self.code_bytes >= CODE_BYTES_MAX {
            self.codes_old = take(&mut self.codes_young);
            self.code_bytes = 0;
        }
        self.code_bytes += bytecode.len();
        self.codes_young.insert(hash, bytecode.clone());
    }

    fn make_room(&mut self) {
        if self.cells >= CELLS_MAX {
            self.old = take(&mut self.young);
            self.cells = 0;
        }
    }

    /// Learns that a contract with this code stood at the end of a closed block: a fact for every position after it.
    pub fn learn_contract(&mut self, address: Address, code: &[u8]) {
        self.make_room();
        let (hash, _) = self.analysed(code);
        if hash == KECCAK256_EMPTY {
            return;
        }
        let known = self.young.entry(address).or_default();
        self.cells += known.contract.is_none() as usize;
        known.contract = Some(hash);
    }

    /// Learns the last known value of a cell: a guess.
    pub fn learn(&mut self, cell: &Cell<'_>) {
        self.make_room();
        match cell {
            Cell::Account { address, balance, code_hash } => {
                let known = self.young.entry(*address).or_default();
                self.cells += known.account.is_none() as usize;
                known.account = Some((*balance, *code_hash));
            }
            Cell::Nonce { address, nonce, .. } => {
                let known = self.young.entry(*address).or_default();
                self.cells += known.nonce.is_none() as usize;
                known.nonce = Some(*nonce);
            }
            Cell::Slot { address, slot, value } => {
                let known = self.young.entry(*address).or_default();
                self.cells += known.slots.insert(*slot, *value).is_none() as usize;
            }
            Cell::Code { code, .. } => {
                self.analysed(code);
            }
            Cell::Erased { .. } => {} // Slots of an account that is gone are wrong guesses, no more.
        }
    }
}
