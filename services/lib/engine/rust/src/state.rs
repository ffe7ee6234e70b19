//! The cells of one engine: present values, code by hash, and the way back through `history`.
//!
//! S1. Every write but an import leaves an undo record in the current layer, the first one of a cell in a layer winning.
//! S2. A slot with value 0 has no entry. An account stays listed while history may need it.
//! S3. The nonce of a sender is written by nonce records alone, before its transaction comes to an end. As existence can be seen
//!     by others, a sender without balance and code reads as new until then. Blocks close when all have come to an end.

use crate::cells::{self, CellKey};
use crate::edit::Edit;
use crate::history::{BlockContext, History, Layer, Pins};
use crate::known::Known;
use crate::owned::Owned;
use alloy_primitives::{
    Address, B256, KECCAK256_EMPTY, U256,
    map::{AddressMap, AddressSet, B256Map, U256Map},
};
use revm::{bytecode::Bytecode, state::Account as JournalAccount};
use std::collections::{BTreeSet, hash_map::Entry};
use std::sync::{Arc, RwLock};

/// Contract code, kept once for all accounts that have it. `bytecode` is missing between an imported account and its code.
pub struct Code {
    pub hash: B256,
    pub bytecode: Option<Bytecode>,
}

#[derive(Default)]
pub struct Account {
    pub balance: U256,
    pub nonce: u64,
    pub nonce_hash: B256,
    pub code: Option<Arc<Code>>,
    pub slots: Option<Box<U256Map<U256>>>,
    /// Before EIP-161 an empty account was not the same as none; only conformance tests see the difference.
    pub exists: bool,
}

/// An account's own cells, copied out.
#[derive(Default, Clone)]
pub struct AccountCells {
    pub balance: U256,
    pub code: Option<Arc<Code>>,
    pub nonce: u64,
    pub nonce_hash: B256,
    pub exists: bool,
}

impl AccountCells {
    pub fn code_hash(&self) -> B256 {
        code_hash(&self.code)
    }
}

pub fn code_hash(code: &Option<Arc<Code>>) -> B256 {
    code.as_ref().map_or(KECCAK256_EMPTY, |code| code.hash)
}

/// What the engine's thread and the calls beside it share. A call holds the lock only for the read of one cell.
pub struct Shared {
    pub state: RwLock<State>,
    pub owned: RwLock<Arc<Owned>>,
    pub pins: Pins,
    pub chain_id: u64,
    /// Cells of other partitions; never locked together with the state.
    pub known: RwLock<Known>,
}

pub struct State {
    pub accounts: AddressMap<Account>,
    /// The same addresses in order, for snapshots and hand-over.
    pub index: BTreeSet<Address>,
    pub codes: B256Map<Arc<Code>>,
    pub code_bytes: usize,
    pub slot_count: usize,
    pub history: History,
    pub open: Option<BlockContext>,
    /// Senders that were nobody when their first nonce record came, and whose first transaction has not come to an end yet: to
    /// the EVM they are still nobody (S3).
    fresh: AddressSet,
}

impl State {
    pub fn new() -> Self {
        Self {
            accounts: AddressMap::default(),
            index: BTreeSet::new(),
            codes: B256Map::default(),
            code_bytes: 0,
            slot_count: 0,
            history: History::new(),
            open: None,
            fresh: AddressSet::default(),
        }
    }

    /// An account at a version, or now.
    #[inline]
    pub fn account(&self, address: &Address, version: Option<u64>) -> AccountCells {
        let mut found = match self.accounts.get(address) {
            Some(account) => AccountCells {
                balance: account.balance,
                code: account.code.clone(),
                nonce: account.nonce,
                nonce_hash: account.nonce_hash,
                exists: account.exists,
            },
            None => AccountCells::default(),
        };
        if let Some(version) = version {
            self.rewind(address, version, &mut found);
        }
        found
    }

    fn rewind(&self, address: &Address, version: u64, found: &mut AccountCells) {
        let (mut has_account, mut has_nonce) = (false, false);
        for undo in self.history.since(version).filter_map(|layer| layer.accounts.get(address)) {
            if let (false, Some((balance, code))) = (has_account, &undo.account) {
                has_account = true;
                found.balance = *balance;
                found.code = code.clone();
            }
            if let (false, Some((nonce, hash))) = (has_nonce, undo.nonce) {
                has_nonce = true;
                found.nonce = nonce;
                found.nonce_hash = hash;
            }
        }
    }

    /// A nonce record counts a sender's nonce up to `next`.
    pub fn write_nonce(&mut self, sender: &Address, is_first: bool, next: u64, transaction: &B256) {
        if is_first && self.accounts.get(sender).is_none_or(|account| account.balance.is_zero() && account.code.is_none()) {
            self.fresh.insert(*sender);
        }
        self.edit(sender).set_nonce(next, transaction);
    }

    /// True if the account reads as new, whatever its nonce cell says.
    #[inline]
    pub fn is_fresh(&self, address: &Address) -> bool {
        !self.fresh.is_empty() && self.fresh.contains(address)
    }

    /// The sender's first transaction came to an end.
    pub fn age(&mut self, sender: &Address) {
        self.fresh.remove(sender);
    }

    /// Writes an account cell of a write set.
    pub fn apply_account(&mut self, address: &Address, balance: U256, code_hash: B256) {
        let code = self.code(code_hash, None);
        let mut edit = self.edit(address);
        if code.is_some() && edit.account.code.is_none() {
            edit.clear_slots(); // As in `commit`.
        }
        edit.set_account(balance, code);
    }

    /// Writes a nonce cell of a write set. That of a sender only says that its first transaction came to an end (S3).
    pub fn apply_nonce(&mut self, address: &Address, nonce: u64, transaction: &B256) {
        self.age(address);
        let mut edit = self.edit(address);
        let (is_contract, present) = (edit.account.code.is_some(), edit.account.nonce);
        if present == 0 && !is_contract {
            edit.clear_slots(); // Created without code.
        }
        if present == 0 || (is_contract && nonce > present) {
            edit.set_nonce(nonce, transaction);
        }
    }

    /// Everything sequenced in the block has come to an end.
    pub fn close_block(&mut self, pins: &Pins) -> BlockContext {
        let context = self.open.take().expect("a block is open");
        self.fresh.clear();
        self.history.close_block(context, pins);
        context
    }

    /// A storage slot at a version, or now.
    #[inline]
    pub fn slot(&self, address: &Address, slot: &U256, version: Option<u64>) -> U256 {
        if let Some(version) = version {
            let undone = self.history.since(version).find_map(|layer| layer.accounts.get(address)?.slots.get(slot));
            if let Some(value) = undone {
                return *value;
            }
        }
        let slots = self.accounts.get(address).and_then(|account| account.slots.as_deref());
        slots.and_then(|slots| slots.get(slot)).copied().unwrap_or_default()
    }

    /// All slots of an account at a version, sorted.
    pub fn slots(&self, address: &Address, version: u64) -> Vec<(U256, U256)> {
        let layers: Vec<_> = self.history.since(version).filter_map(|layer| layer.accounts.get(address)).collect();
        let mut undone = U256Map::default();
        for undo in layers.into_iter().rev() {
            undone.extend(undo.slots.iter().map(|(slot, value)| (*slot, *value))); // The earliest record wins, so it comes last.
        }
        let present = self.accounts.get(address).and_then(|account| account.slots.as_deref()).into_iter().flatten();
        let kept = present.filter(|(slot, _)| !undone.contains_key(*slot)).map(|(slot, value)| (*slot, *value));
        let mut sorted: Vec<_> = kept.chain(undone.iter().map(|(slot, value)| (*slot, *value))).collect();
        sorted.retain(|(_, value)| !value.is_zero());
        sorted.sort_unstable();
        sorted
    }

    /// Opens an account for writing with undo records.
    #[inline]
    pub fn edit(&mut self, address: &Address) -> Edit<'_> {
        let account = match self.accounts.entry(*address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.index.insert(*address);
                entry.insert(Account::default())
            }
        };
        account.exists = true;
        let layer = self.history.current();
        let undo = layer.accounts.entry(*address).or_default();
        Edit { account, undo, slot_count: &mut self.slot_count, undo_slots: &mut layer.slots }
    }

    /// Opens an account for writing without undo records.
    pub fn import(&mut self, address: &Address) -> &mut Account {
        let account = self.accounts.entry(*address).or_default();
        if !account.exists {
            self.index.insert(*address);
            account.exists = true;
        }
        account
    }

    pub fn import_slot(&mut self, address: &Address, slot: U256, value: U256) {
        let slots = self.import(address).slots.get_or_insert_default();
        let before = slots.len();
        if value.is_zero() {
            slots.remove(&slot);
        } else {
            slots.insert(slot, value);
        }
        let after = slots.len();
        self.slot_count = self.slot_count + after - before;
    }

    /// The shared code of a hash; registers it (or its bytecode) when it is new.
    pub fn code(&mut self, hash: B256, bytecode: Option<&Bytecode>) -> Option<Arc<Code>> {
        if hash == KECCAK256_EMPTY {
            return None;
        }
        let known = self.codes.get(&hash);
        if let Some(code) = known.filter(|code| code.bytecode.is_some() || bytecode.is_none()) {
            return Some(code.clone());
        }
        let code = Arc::new(Code { hash, bytecode: bytecode.cloned() });
        self.code_bytes += bytecode.map_or(0, |bytecode| bytecode.len());
        self.codes.insert(hash, code.clone());
        Some(code)
    }

    /// Commits what one transaction did to one account.
    pub fn commit(&mut self, address: &Address, changed: &JournalAccount, transaction: &B256) {
        if changed.is_selfdestructed() {
            self.edit(address).erase();
            return;
        }
        let info = &changed.info;
        let code = self.code(info.code_hash, info.code.as_ref());
        let mut edit = self.edit(address);
        if changed.is_created() {
            edit.clear_slots(); // A created contract starts with empty storage, whatever stood at its address before.
        }
        edit.set_account(info.balance, code);
        // What the journal was given may differ from the cell (V4); only what the EVM changed is written.
        if info.nonce != edit.account.nonce && info.nonce != changed.original_info().nonce {
            edit.set_nonce(info.nonce, transaction);
        }
        for (slot, value) in changed.storage.iter().filter(|(_, value)| value.is_changed()) {
            edit.set_slot(*slot, value.present_value);
        }
    }

    /// After a seal: accounts that became empty in layers now gone need not be listed any more.
    pub fn sweep(&mut self, gone: &[Layer]) {
        for address in gone.iter().flat_map(|layer| layer.accounts.keys()) {
            let is_empty = self.accounts.get(address).is_some_and(|account| {
                account.balance.is_zero() && account.nonce == 0 && account.code.is_none() && account.slots.is_none()
            });
            if is_empty && !self.history.layers.iter().any(|layer| layer.accounts.contains_key(address)) {
                self.accounts.remove(address);
                self.index.remove(address);
            }
        }
    }

    /// Forgets an account and its history.
    pub fn forget(&mut self, address: &Address) {
        if let Some(account) = self.accounts.remove(address) {
            self.slot_count -= account.slots.map_or(0, |slots| slots.len());
        }
        self.index.remove(address);
        self.history.layers.iter_mut().for_each(|layer| layer.forget(address));
    }

    /// Frees code that no account and no undo record holds.
    pub fn free_codes(&mut self) {
        let bytes = &mut self.code_bytes;
        self.codes.retain(|_, code| {
            let is_used = Arc::strong_count(code) > 1;
            if !is_used {
                *bytes -= code.bytecode.as_ref().map_or(0, |bytecode| bytecode.len());
            }
            is_used
        });
    }

    /// The value of a cell at a version as the packed cell of the request.
    pub fn put_cell(&self, out: &mut Vec<u8>, key: &CellKey, version: Option<u64>) {
        if key.kind == cells::SLOT {
            return cells::put_slot(out, &key.address, &key.slot, &self.slot(&key.address, &key.slot, version));
        }
        let account = self.account(&key.address, version);
        match key.kind {
            cells::ACCOUNT => cells::put_account(out, &key.address, &account.balance, &account.code_hash()),
            cells::NONCE => cells::put_nonce(out, &key.address, account.nonce, &account.nonce_hash),
            _ => cells::put_code(out, &key.address, code_bytes(&account.code)),
        }
    }
}

/// The code's bytes. An account whose code was never imported is a bug of the importer.
pub fn code_bytes(code: &Option<Arc<Code>>) -> &[u8] {
    code.as_ref().map_or(&[], |code| code.bytecode.as_ref().expect("code cell was imported").original_byte_slice())
}
