//! Cells outside the state: what other partitions gave, and what a proposal wrote.

use crate::cells::{self, Cell};
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256,
    map::{AddressMap, U256Map},
};
use revm::{bytecode::Bytecode, state::Account as JournalAccount};

/// The known cells of one account.
#[derive(Default)]
pub struct PartialAccount {
    /// Everything before this set is gone: cells not in the set read as never written.
    pub is_erased: bool,
    /// Created by an earlier member: slots not in the set are empty.
    pub is_created: bool,
    pub account: Option<(U256, B256)>,
    pub nonce: Option<(u64, B256)>,
    /// With its hash.
    pub code: Option<(B256, Bytecode)>,
    pub slots: U256Map<U256>,
}

#[derive(Default)]
pub struct CellSet {
    pub accounts: AddressMap<PartialAccount>,
}

impl CellSet {
    /// `analysed` gives hash and analysed code.
    pub fn unpack(packed: &[u8], mut analysed: impl FnMut(&[u8]) -> (B256, Bytecode)) -> Self {
        let mut set = Self::default();
        for cell in cells::cells(packed) {
            match cell {
                Cell::Account { address, balance, code_hash } => set.entry(address).account = Some((balance, code_hash)),
                Cell::Nonce { address, nonce, hash } => set.entry(address).nonce = Some((nonce, hash)),
                Cell::Slot { address, slot, value } => {
                    set.entry(address).slots.insert(slot, value);
                }
                Cell::Code { address, code } => set.entry(address).code = Some(analysed(code)),
                Cell::Erased { address } => *set.entry(address) = PartialAccount::erased(),
            }
        }
        set
    }

    fn entry(&mut self, address: Address) -> &mut PartialAccount {
        self.accounts.entry(address).or_default()
    }

    /// Adds what one transaction did to one account on top of this set.
    pub fn commit(&mut self, address: &Address, changed: &JournalAccount, before: (U256, B256, u64), transaction: &B256) {
        let entry = self.accounts.entry(*address).or_default();
        if changed.is_selfdestructed() {
            *entry = PartialAccount::erased();
            return;
        }
        let info = &changed.info;
        entry.is_created |= changed.is_created();
        if (before.0, before.1) != (info.balance, info.code_hash) {
            entry.account = Some((info.balance, info.code_hash));
        }
        if before.2 != info.nonce {
            entry.nonce = Some((info.nonce, *transaction));
        }
        if before.1 != info.code_hash && info.code_hash != KECCAK256_EMPTY {
            entry.code = info.code.clone().map(|code| (info.code_hash, code));
        }
        for (slot, value) in changed.storage.iter().filter(|(_, value)| value.is_changed()) {
            entry.slots.insert(*slot, value.present_value);
        }
    }

    /// Packed in the order of addresses, kinds and slots, so that every replica makes the same bytes.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut addresses: Vec<_> = self.accounts.keys().collect();
        addresses.sort_unstable();
        for address in addresses {
            self.accounts[address].pack(address, &mut out);
        }
        out
    }
}

impl PartialAccount {
    fn erased() -> Self {
        Self { is_erased: true, ..Self::default() }
    }

    fn pack(&self, address: &Address, out: &mut Vec<u8>) {
        if self.is_erased {
            cells::put_erased(out, address);
        }
        if let Some((balance, code_hash)) = &self.account {
            cells::put_account(out, address, balance, code_hash);
        }
        if let Some((nonce, hash)) = &self.nonce {
            cells::put_nonce(out, address, *nonce, hash);
        }
        let mut slots: Vec<_> = self.slots.iter().collect();
        slots.sort_unstable();
        for (slot, value) in slots {
            cells::put_slot(out, address, slot, value);
        }
        if let Some((_, code)) = &self.code {
            cells::put_code(out, address, code.original_byte_slice());
        }
    }
}

/// Analysed code and its hash. Code that starts like an EIP-7702 designator but is none cannot run; it stays as legacy bytes.
pub fn analyse(code: &[u8]) -> (B256, Bytecode) {
    let bytes = Bytes::copy_from_slice(code);
    let bytecode = Bytecode::new_raw_checked(bytes.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes));
    (keccak256(code), bytecode)
}
