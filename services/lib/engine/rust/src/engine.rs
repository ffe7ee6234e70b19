//! One engine: a partition's state and the operations on it that belong to the log.

use crate::bytes::Packed;
use crate::cells::{self, Cell, CellKey};
use crate::cellset::analyse;
use crate::history::{BlockContext, Pins, Unreadable};
use crate::lattice::{Element, Lattice};
use crate::owned::Owned;
use crate::past::{self, Past};
use crate::state::{Account, Shared, State, code_bytes, code_hash};
use alloy_primitives::{Address, B256, U256};
use std::mem::size_of;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub struct Engine {
    pub shared: Arc<Shared>,
    lattice: Lattice,
    /// Cells written at or after this version are not in the lattice yet; closing a block folds each of them once.
    folded: u64,
}

impl Engine {
    pub fn new(chain_id: u64) -> Self {
        let shared = Shared {
            state: RwLock::new(State::new()),
            owned: RwLock::default(),
            pins: Pins::default(),
            chain_id,
            known: RwLock::default(),
        };
        Self { shared: Arc::new(shared), lattice: Lattice::new(), folded: 0 }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state.read().expect("no writer panicked")
    }

    pub fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.shared.state.write().expect("no writer panicked")
    }

    pub fn set_owned(&mut self, owned: Owned) {
        *self.shared.owned.write().expect("no writer panicked") = Arc::new(owned);
    }

    pub fn open_block_context(&self) -> BlockContext {
        self.state().open.expect("a block is open")
    }

    pub fn open_block(&mut self, context: BlockContext) {
        let mut state = self.state_mut();
        assert!(state.open.is_none(), "a block is already open");
        state.open = Some(context);
    }

    /// Commits a write set; cells outside what this engine owns are passed over.
    pub fn apply_writes(&mut self, writes: &[u8]) {
        let owned = self.shared.owned.read().expect("no writer panicked").clone();
        let mut state = self.state_mut();
        assert!(state.open.is_some(), "a block is open");
        let mut elsewhere = Vec::new();
        for cell in cells::cells(writes) {
            match cell {
                Cell::Account { address, balance, code_hash } if owned.contains(&address) => {
                    state.apply_account(&address, balance, code_hash);
                }
                Cell::Nonce { address, nonce, hash } if owned.contains(&address) => state.apply_nonce(&address, nonce, &hash),
                Cell::Slot { address, slot, value } if owned.contains(&address) => state.edit(&address).set_slot(slot, value),
                Cell::Code { address, code } if owned.contains(&address) => set_code(&mut state, &address, code),
                Cell::Erased { address } if owned.contains(&address) => state.edit(&address).erase(),
                foreign => elsewhere.push(foreign),
            }
        }
        drop(state);
        let mut known = self.shared.known.write().expect("no writer panicked");
        elsewhere.iter().for_each(|cell| known.learn(cell));
    }

    /// Adds cells as they are, without undo record.
    pub fn import(&mut self, packed: &[u8]) {
        for cell in cells::cells(packed) {
            match cell {
                Cell::Account { address, balance, code_hash } => self.import_account(&address, balance, code_hash),
                Cell::Nonce { address, nonce, hash } => self.import_nonce(&address, nonce, hash),
                Cell::Slot { address, slot, value } => self.import_slot(&address, slot, value),
                Cell::Code { address, code } => set_code(&mut self.state_mut(), &address, code),
                Cell::Erased { .. } => panic!("an import adds cells; it cannot erase an account"),
            }
        }
    }

    fn import_account(&mut self, address: &Address, balance: U256, hash: B256) {
        let shared = self.shared.clone();
        let mut state = shared.state.write().expect("no writer panicked");
        let code = state.code(hash, None);
        let is_dirty = self.is_dirty(&state, address, cells::ACCOUNT, U256::ZERO);
        let account = state.import(address);
        if !is_dirty {
            self.lattice.subtract(&Element::Account(address, &account.balance, &code_hash(&account.code)));
            self.lattice.add(&Element::Account(address, &balance, &hash));
        }
        account.balance = balance;
        account.code = code;
    }

    fn import_nonce(&mut self, address: &Address, nonce: u64, hash: B256) {
        let shared = self.shared.clone();
        let mut state = shared.state.write().expect("no writer panicked");
        let is_dirty = self.is_dirty(&state, address, cells::NONCE, U256::ZERO);
        let account = state.import(address);
        if !is_dirty {
            self.lattice.subtract(&Element::Nonce(address, account.nonce));
            self.lattice.add(&Element::Nonce(address, nonce));
        }
        account.nonce = nonce;
        account.nonce_hash = hash;
    }

    fn import_slot(&mut self, address: &Address, slot: U256, value: U256) {
        let shared = self.shared.clone();
        let mut state = shared.state.write().expect("no writer panicked");
        if !self.is_dirty(&state, address, cells::SLOT, slot) {
            self.lattice.subtract(&Element::Slot(address, &slot, &state.slot(address, &slot, None)));
            self.lattice.add(&Element::Slot(address, &slot, &value));
        }
        state.import_slot(address, slot, value);
    }

    /// True if the cell will be folded when the block closes, from its undo record to its present value.
    fn is_dirty(&self, state: &State, address: &Address, kind: u8, slot: U256) -> bool {
        state.history.is_written_since(self.folded, &CellKey { address: *address, kind, slot })
    }

    /// Whole accounts of a range as of the end of a block, about `bytes_max`, and where to go on.
    pub fn export(&self, block: u64, first: Address, last: Address, bytes_max: usize) -> (Vec<u8>, Option<Address>) {
        let state = self.state();
        let (version, _) = state.history.find(block).unwrap_or_else(|why| panic!("block {block} cannot be exported: {why:?}"));
        let mut out = Vec::new();
        for address in state.index.range(first..=last) {
            if out.len() >= bytes_max {
                return (out, Some(*address));
            }
            export_account(&state, address, version, &mut out);
        }
        (out, None)
    }

    /// Forgets all accounts of a range that went elsewhere.
    pub fn drop_range(&mut self, first: Address, last: Address) {
        let shared = self.shared.clone();
        let mut state = shared.state.write().expect("no writer panicked");
        let gone: Vec<_> = state.index.range(first..=last).copied().collect();
        for address in gone {
            // The lattice holds what was folded last, so that is what leaves it.
            let folded = state.account(&address, Some(self.folded));
            self.lattice.subtract(&Element::Account(&address, &folded.balance, &folded.code_hash()));
            self.lattice.subtract(&Element::Nonce(&address, folded.nonce));
            for (slot, value) in state.slots(&address, self.folded) {
                self.lattice.subtract(&Element::Slot(&address, &slot, &value));
            }
            state.forget(&address);
        }
        state.free_codes();
    }

    /// Ends the open block and returns the lattice of all cells.
    pub fn close_block(&mut self) -> Vec<u8> {
        let context = self.state_mut().close_block(&self.shared.pins);
        self.fold();
        debug_assert!(context.number == self.state().history.last_closed().expect("just closed").number);
        self.lattice.to_bytes()
    }

    /// Brings the lattice up to date: layer by layer, each cell from its value before to its value after.
    fn fold(&mut self) {
        let shared = self.shared.clone();
        let state = shared.state.read().expect("no writer panicked");
        for layer in state.history.since(self.folded) {
            let after = Some(layer.id + 1);
            for (address, undo) in &layer.accounts {
                let now = state.account(address, after);
                if let Some((balance, code)) = &undo.account
                    && (*balance != now.balance || code_hash(code) != now.code_hash())
                {
                    self.lattice.subtract(&Element::Account(address, balance, &code_hash(code)));
                    self.lattice.add(&Element::Account(address, &now.balance, &now.code_hash()));
                }
                if let Some((nonce, _)) = undo.nonce {
                    self.lattice.subtract(&Element::Nonce(address, nonce));
                    self.lattice.add(&Element::Nonce(address, now.nonce));
                }
                for (slot, value) in &undo.slots {
                    let present = state.slot(address, slot, after);
                    if present != *value {
                        self.lattice.subtract(&Element::Slot(address, slot, value));
                        self.lattice.add(&Element::Slot(address, slot, &present));
                    }
                }
            }
        }
        self.folded = state.history.present();
    }

    pub fn seal(&mut self, number: u64, hash: B256) {
        let gone = {
            let mut state = self.state_mut();
            let gone = state.history.seal(number, hash, &self.shared.pins);
            state.sweep(&gone);
            gone
        };
        drop(gone); // After the lock: freeing the records takes longer than taking them out.
    }

    /// Nothing if one of the accounts is not owned: it must not read as new.
    pub fn nonces(&self, addresses: &[u8]) -> Vec<u8> {
        assert!(addresses.len().is_multiple_of(20), "addresses are 20 bytes each");
        let owned = self.shared.owned.read().expect("no writer panicked").clone();
        let state = self.state();
        let mut out = Vec::with_capacity(addresses.len() / 20 * 41);
        for address in addresses.chunks_exact(20).map(Address::from_slice) {
            if !owned.contains(&address) {
                return Vec::new();
            }
            let account = state.account(&address, None);
            out.put_u64(account.nonce);
            out.put_u8(!account.balance.is_zero() as u8);
            out.put(account.nonce_hash.as_slice());
        }
        out
    }

    /// Version and context to read a block with; no number means the present state.
    pub fn version(&self, block: Option<u64>) -> Result<Option<u64>, Unreadable> {
        block.map(|number| Ok(self.state().history.find(number)?.0)).transpose()
    }

    /// Values of a read request. `Ok(None)`: it asks for an account that is not here, which never reads as empty.
    pub fn read(&self, block: Option<u64>, request: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let version = self.version(block)?;
        let owned = self.shared.owned.read().expect("no writer panicked").clone();
        let state = self.state();
        let number = block.or(state.open.map(|open| open.number)).unwrap_or_default();
        let mut out = Vec::new();
        for key in cells::keys(request) {
            let is_here = owned.contains(&key.address) || state.accounts.contains_key(&key.address);
            if !is_here {
                return Ok(None);
            }
            let is_past = key.address == past::ACCOUNT && key.kind == cells::SLOT;
            match if is_past { state.history.past(&key.slot, number) } else { Past::Slot } {
                Past::Slot => state.put_cell(&mut out, &key, version),
                Past::Hash(hash) => cells::put_slot(&mut out, &key.address, &key.slot, &hash.into()),
                Past::Unsealed(_) => cells::put_slot(&mut out, &key.address, &key.slot, &U256::ZERO),
            }
        }
        Ok(Some(out))
    }

    /// Present values of a read request as the EVM sees them; nothing if one of the accounts is not owned.
    pub fn grant(&self, request: &[u8]) -> Option<Vec<u8>> {
        let owned = self.shared.owned.read().expect("no writer panicked").clone();
        let state = self.state();
        let mut out = Vec::new();
        for key in cells::keys(request) {
            match key.kind {
                _ if !owned.contains(&key.address) => return None,
                cells::NONCE if state.is_fresh(&key.address) => cells::put_nonce(&mut out, &key.address, 0, &B256::ZERO),
                _ => state.put_cell(&mut out, &key, None),
            }
        }
        Some(out)
    }

    /// An honest estimate: tables by their capacity, history by its records, code by its length.
    pub fn memory(&self) -> (u64, u64, u64) {
        const SLOT_BYTES: usize = 2 * size_of::<U256>() + 1;
        const TABLE_SLACK: usize = 2; // A hash table is between 7/16 and 7/8 full.
        let state = self.state();
        let accounts = state.accounts.capacity() * (size_of::<(Address, Account)>() + 1);
        let index = state.accounts.len() * size_of::<Address>() * TABLE_SLACK;
        let slots = state.slot_count * SLOT_BYTES * TABLE_SLACK;
        let history: usize = state.history.layers.iter().map(|layer| layer.bytes()).sum();
        let own = accounts + index + slots + history + state.code_bytes;
        let numbers = (state.accounts.len() as u64, state.slot_count as u64);
        drop(state);
        let bytes = own + self.shared.known.read().expect("no writer panicked").bytes();
        (bytes as u64, numbers.0, numbers.1)
    }
}

fn set_code(state: &mut State, address: &Address, code: &[u8]) {
    let (hash, bytecode) = analyse(code);
    let has_hash = state.accounts.get(address).map(|account| code_hash(&account.code));
    assert!(has_hash.is_none() || has_hash == Some(hash), "code cell fits the account's code hash and follows it");
    // Accounts that came before their code share a placeholder; all of one hash take the code with the first that has it.
    let code = state.code(hash, Some(&bytecode));
    if let Some(account) = state.accounts.get_mut(address) {
        account.code = code;
    }
}

fn export_account(state: &State, address: &Address, version: u64, out: &mut Vec<u8>) {
    let account = state.account(address, Some(version));
    if !account.balance.is_zero() || account.code.is_some() {
        cells::put_account(out, address, &account.balance, &account.code_hash());
    }
    if account.nonce != 0 {
        cells::put_nonce(out, address, account.nonce, &account.nonce_hash);
    }
    for (slot, value) in state.slots(address, version) {
        cells::put_slot(out, address, &slot, &value);
    }
    if account.code.is_some() {
        cells::put_code(out, address, code_bytes(&account.code));
    }
}
