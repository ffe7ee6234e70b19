//! What one execution sees: the state (now or at a version), cells that were given, and the writes of earlier members.
//!
//! V1. A cell that is neither owned nor given is missing, never empty. The execution goes on with its last known value, so
//!     that one run tells as much as it can, but what it comes to does not count.
//! V2. A touch of what may not be touched goes on in the same way, and the transaction misses.
//! V3. The lock is held for the read of one cell, so a call beside the log delays it by no more.
//! V4. A transaction sees its sender with the nonce counted up; until its first transaction has come to an end, everybody else
//!     sees a new sender as it was before (`State::fresh`).

use crate::access::{Access, mode};
use crate::cells::{self, CellKey};
use crate::cellset::{CellSet, PartialAccount};
use crate::known::Known;
use crate::owned::Owned;
use crate::past::{self, Past};
use crate::state::{AccountCells, Shared};
use crate::touch::{is_changed, is_precompile};
use crate::turn::{Turn, Why};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::{
    bytecode::Bytecode,
    state::{AccountInfo, EvmState},
};
use std::collections::BTreeSet;
use std::sync::{Arc, RwLockReadGuard};

pub struct View {
    shared: Arc<Shared>,
    owned: Arc<Owned>,
    version: Option<u64>,
    /// Of the block that executes.
    number: u64,
    access: Access,
    is_plain: bool,
    given: Option<CellSet>,
    overlay: Option<CellSet>,
    /// Every missing cell met so far.
    pub missing: BTreeSet<CellKey>,
    turn: Turn,
}

impl View {
    pub fn new(shared: &Arc<Shared>, version: Option<u64>, number: u64, access: Access) -> Self {
        let owned = shared.owned.read().expect("no writer panicked").clone();
        Self {
            shared: shared.clone(),
            owned,
            version,
            number,
            is_plain: access.is_plain(),
            access,
            given: None,
            overlay: None,
            missing: BTreeSet::new(),
            turn: Turn::default(),
        }
    }

    pub fn with_given(mut self, given: CellSet) -> Self {
        self.given = (!given.accounts.is_empty()).then_some(given);
        self
    }

    /// Later executions see the writes of earlier ones, which are collected instead of committed.
    pub fn with_overlay(mut self) -> Self {
        self.overlay = Some(CellSet::default());
        self
    }

    /// A transaction begins; `declared` is empty where nothing looks at it.
    pub fn begin(&mut self, sender: Address, nonce: u64, declared: Bytes) {
        self.turn.begin(sender, nonce, declared);
    }

    /// True if the declared set of each transaction matters.
    pub fn needs_declared(&self) -> bool {
        !self.is_plain
    }

    pub fn overlay(&mut self) -> &mut CellSet {
        self.overlay.as_mut().expect("executions without commit have an overlay")
    }

    pub fn why(&self) -> Option<Why> {
        self.turn.why
    }

    pub fn has_looked(&self, address: &Address) -> bool {
        self.turn.looked.contains(address)
    }

    pub fn has_tried(&self, address: &Address) -> bool {
        self.turn.tried.contains(address)
    }

    /// The transaction tries to write a cell of the account.
    #[inline]
    pub fn try_write(&mut self, address: Address) {
        if self.turn.why.is_some() {
            self.turn.tried.insert(address);
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, crate::state::State> {
        self.shared.state.read().expect("no writer panicked")
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.shared.known.read().expect("no writer panicked")
    }

    fn given(&self, address: &Address) -> Option<&PartialAccount> {
        self.given.as_ref()?.accounts.get(address)
    }

    fn overlaid(&self, address: &Address) -> Option<&PartialAccount> {
        self.overlay.as_ref()?.accounts.get(address)
    }

    fn mode(&self, address: &Address) -> Option<u8> {
        self.access.mode(&self.owned, &self.turn.declared, address)
    }

    fn stop(&mut self, why: Why) {
        self.turn.why.get_or_insert(why);
    }

    /// True if the account's record is what it is, not a guess.
    fn has_record(&self, address: &Address) -> bool {
        self.owned.contains(address) || self.given(address).is_some_and(|given| given.account.is_some() && given.nonce.is_some())
    }

    /// True if the account's balance is a guess.
    pub fn is_guess(&self, address: &Address) -> bool {
        self.mode(address).is_none() || !self.has_record(address)
    }

    /// The transaction looks at an account's balance or nonce: more than its code.
    pub fn look(&mut self, address: Address) {
        if !self.is_plain || is_precompile(&address) {
            match self.mode(&address) {
                None | Some(mode::CODE) => self.stop(Why::Outside),
                Some(_) if !self.has_record(&address) => self.ask(&address),
                Some(_) => {}
            }
        }
        self.turn.looked.insert(address);
    }

    /// The same where only a precompile's record is not loaded anyway.
    pub fn look_at_precompile(&mut self, address: Address) {
        if is_precompile(&address) {
            self.look(address);
        }
    }

    /// What the transaction changed must have been open to it for writing.
    pub fn check_writes(&mut self, changes: &EvmState) {
        if !self.is_plain
            && changes.iter().any(|(address, account)| is_changed(account) && self.mode(address) != Some(mode::WRITE))
        {
            self.stop(Why::Outside);
        }
    }

    /// Notes the missing cells of an account. Its code comes along unless it is known which it probably is.
    fn ask(&mut self, address: &Address) {
        let given = self.given(address);
        let (account, has_nonce) = (given.and_then(|given| given.account), given.is_some_and(|given| given.nonce.is_some()));
        let has_code = account.is_some() || given.is_some_and(|given| given.code.is_some()) || {
            let known = self.known().account(address);
            known.is_some_and(|(_, hash)| hash == KECCAK256_EMPTY || self.code_of(&hash).is_some())
        };
        for (kind, is_known) in [(cells::ACCOUNT, account.is_some()), (cells::NONCE, has_nonce), (cells::CODE, has_code)] {
            if !is_known {
                self.missing.insert(CellKey { address: *address, kind, slot: U256::ZERO });
            }
        }
    }

    /// A round trip is due: what the group may touch elsewhere and nothing is known of comes along with it.
    pub fn ask_unknown(&mut self) {
        let Access::Group(Some(allowed)) = &self.access else { return };
        let unknown: Vec<_> = allowed
            .iter()
            .filter(|(address, mode)| {
                let known = self.known();
                let is_known = known.contract(address).is_some() || (**mode != mode::CODE && known.account(address).is_some());
                !is_known && !is_precompile(address) && !self.owned.contains(address) && self.given(address).is_none()
            })
            .map(|(address, mode)| (*address, *mode))
            .collect();
        for (address, mode) in unknown {
            match mode {
                mode::CODE => {
                    self.missing.insert(CellKey { address, kind: cells::CODE, slot: U256::ZERO });
                }
                _ => self.ask(&address),
            }
        }
    }

    fn owned_account(&self, address: &Address) -> Option<AccountInfo> {
        let state = self.state();
        let mut found = state.account(address, self.version);
        if found.nonce != 0 && self.version.is_none() && state.is_fresh(address) {
            found.nonce = 0;
        }
        found.exists.then(|| info_of(found))
    }

    /// The account below the overlay. `asks`: what is missing is asked for.
    fn base_account(&mut self, address: &Address, asks: bool) -> Option<AccountInfo> {
        if self.owned.contains(address) {
            return self.owned_account(address);
        }
        let (account, nonce) = self.given(address).map_or((None, None), |given| (given.account, given.nonce));
        let nonce = nonce.map(|(nonce, _)| nonce);
        if asks && (account.is_none() || nonce.is_none()) {
            self.ask(address);
        }
        let (balance, code_hash) = account.or_else(|| self.known().account(address)).unwrap_or((U256::ZERO, KECCAK256_EMPTY));
        let nonce = nonce.or_else(|| self.known().nonce(address)).unwrap_or_default();
        let given_code = self.given(address).and_then(|given| given.code.clone()).filter(|(hash, _)| *hash == code_hash);
        let code = given_code.map(|(_, code)| code).or_else(|| self.code_of(&code_hash));
        if code.is_none() {
            self.turn.unknown_code.push((code_hash, asks.then_some(*address)));
        }
        Some(AccountInfo { balance, nonce, code_hash, code, account_id: None })
    }

    /// Code by its hash, from wherever it was seen.
    fn code_of(&self, hash: &B256) -> Option<Bytecode> {
        if *hash == KECCAK256_EMPTY {
            return Some(Bytecode::default());
        }
        let own = self.state().codes.get(hash).and_then(|code| code.bytecode.clone());
        own.or_else(|| self.known().code(hash).cloned())
    }

    /// True if the account had its code when the last block closed: then it has it at every position of the open block. Of
    /// accounts elsewhere only their owners can tell.
    pub fn has_old_code(&self, address: &Address) -> bool {
        if !self.owned.contains(address) {
            return true;
        }
        let state = self.state();
        let version = state.history.last_closed().map(|block| state.history.find(block.number).expect("it is the last one").0);
        state.account(address, version).code_hash() != KECCAK256_EMPTY
    }

    /// An account of which only the code may be used: no other cell of it is asked for.
    ///
    /// No queue orders a look at code against a creation, so a contract counts only if it stood at the last block boundary, a cut that
    /// is the same for every position of the open block.
    fn code_account(&mut self, address: &Address) -> Option<AccountInfo> {
        if self.owned.contains(address) {
            if !self.has_old_code(address) {
                self.stop(Why::Outside); // No contract stands here for good: it takes more than `code` to see whether one does.
            }
            return self.owned_account(address);
        }
        let given = self.given(address).and_then(|given| given.code.clone());
        let code = given.or_else(|| {
            let hash = self.known().contract(address)?;
            Some((hash, self.code_of(&hash)?))
        });
        match code {
            Some((code_hash, code)) if code_hash != KECCAK256_EMPTY => {
                Some(AccountInfo { balance: U256::ZERO, nonce: 1, code_hash, code: Some(code), account_id: None })
            }
            Some(_) => {
                self.stop(Why::Outside);
                self.base_account(address, false)
            }
            None => {
                self.missing.insert(CellKey { address: *address, kind: cells::CODE, slot: U256::ZERO });
                self.base_account(address, false)
            }
        }
    }

    /// The account with the writes of earlier members.
    fn account(&mut self, address: &Address) -> Option<AccountInfo> {
        let Some(over) = self.overlaid(address) else { return self.base_account(address, true) };
        let (account, nonce, code, is_erased) = (over.account, over.nonce, over.code.clone(), over.is_erased);
        let mut info = if is_erased { AccountInfo::default() } else { self.base_account(address, true).unwrap_or_default() };
        if let Some((balance, code_hash)) = account {
            info.balance = balance;
            if info.code_hash != code_hash {
                info.code_hash = code_hash;
                info.code = Some(code.map_or_else(Bytecode::default, |(_, code)| code));
            }
        }
        if let Some((nonce, _)) = nonce {
            info.nonce = nonce;
        }
        Some(info)
    }

    fn touched_account(&mut self, address: &Address) -> Option<AccountInfo> {
        if self.is_plain && self.owned.contains(address) {
            return self.owned_account(address);
        }
        let mode = self.mode(address);
        if is_precompile(address) && !(mode.is_some() && self.has_record(address)) {
            return None; // A call of it needs no record; whoever looks at the record says so (`look`).
        }
        match mode {
            None => {
                self.stop(Why::Outside);
                self.base_account(address, false)
            }
            Some(mode::CODE) => self.code_account(address),
            Some(_) => self.account(address),
        }
    }

    /// A cell of another partition's account.
    fn foreign_slot(&mut self, address: &Address, slot: &U256, asks: bool) -> U256 {
        if let Some(value) = self.given(address).and_then(|given| given.slots.get(slot)) {
            return *value;
        }
        if asks {
            self.missing.insert(CellKey { address: *address, kind: cells::SLOT, slot: *slot });
        }
        self.known().slot(address, slot).unwrap_or_default()
    }

    fn touched_slot(&mut self, address: &Address, slot: &U256) -> U256 {
        let is_open = matches!(self.mode(address), Some(mode::READ | mode::WRITE));
        if !is_open {
            self.stop(Why::Outside);
        }
        if let Some(over) = self.overlaid(address) {
            match over.slots.get(slot) {
                Some(value) => return *value,
                None if over.is_erased || over.is_created => return U256::ZERO,
                None => {}
            }
        }
        if self.owned.contains(address) {
            return self.state().slot(address, slot, self.version);
        }
        self.foreign_slot(address, slot, is_open)
    }

    /// The account as the transaction at hand sees it (V4).
    pub fn account_of(&mut self, address: &Address) -> Option<AccountInfo> {
        let mut found = self.touched_account(address);
        let nonce_min = self.turn.nonce_min;
        if nonce_min > 0 && found.as_ref().is_none_or(|info| info.nonce == 0) && *address == self.turn.sender {
            found.get_or_insert_default().nonce = nonce_min;
        }
        found
    }

    /// A slot of the history account that the seals tell: then no cell of it is touched, so mode `code` is enough.
    fn past_slot(&mut self, slot: &U256) -> Option<U256> {
        let past = self.state().history.past(slot, self.number);
        if past != Past::Slot && self.mode(&past::ACCOUNT).is_none() {
            self.stop(Why::Outside);
        }
        match past {
            Past::Hash(hash) => Some(hash.into()),
            Past::Unsealed(block) => {
                self.stop(Why::Unsealed(block));
                Some(U256::ZERO)
            }
            Past::Slot => None,
        }
    }

    /// True if the slot is a cell of its account and not told by the seals.
    pub fn is_cell(&self, address: &Address, slot: &U256) -> bool {
        *address != past::ACCOUNT || self.state().history.past(slot, self.number) == Past::Slot
    }

    #[inline]
    pub fn slot_of(&mut self, address: &Address, slot: &U256) -> U256 {
        if *address == past::ACCOUNT
            && let Some(value) = self.past_slot(slot)
        {
            return value;
        }
        if self.is_plain && self.owned.contains(address) {
            return self.state().slot(address, slot, self.version);
        }
        self.touched_slot(address, slot)
    }

    /// Code is used that did not come with its account.
    pub fn miss_code(&mut self, code_hash: &B256) {
        let unknown = self.turn.unknown_code.iter().find(|(hash, _)| hash == code_hash);
        let (_, address) = unknown.expect("every other account comes with its code");
        if let Some(address) = *address {
            self.missing.insert(CellKey { address, kind: cells::CODE, slot: U256::ZERO });
        }
    }

    /// Zero if the block has no seal.
    pub fn hash_of(&mut self, number: u64) -> B256 {
        let hash = self.state().history.hash(number);
        if hash.is_none() {
            self.stop(Why::Unsealed(number));
        }
        hash.unwrap_or_default()
    }

    /// The nonce that gives a call's creation its address. A given one wins even over the sender's own cell, which has counted on
    /// when the call is about a transaction of the log.
    pub fn creation_nonce(&mut self, sender: &Address) -> u64 {
        let given = self.given(sender).and_then(|given| given.nonce).map(|(nonce, _)| nonce);
        given.unwrap_or_else(|| self.touched_account(sender).map_or(0, |info| info.nonce))
    }

    /// Adds a transaction's writes to the overlay.
    pub fn overlay_changes(&mut self, changes: &EvmState, transaction: &B256) {
        for (address, account) in changes.iter().filter(|(_, account)| is_changed(account)) {
            let original = account.original_info();
            let before = (original.balance, original.code_hash, original.nonce);
            self.overlay().commit(address, account, before, transaction);
        }
    }

    /// A member with this sender came to an end; who owns the sender hears of it by the nonce cell (V4).
    pub fn overlay_nonce(&mut self, sender: &Address, nonce: u64, transaction: &B256) {
        let is_open = matches!(self.mode(sender), Some(mode::READ | mode::WRITE));
        if is_open || self.owned.contains(sender) {
            self.overlay().accounts.entry(*sender).or_default().nonce = Some((nonce, *transaction));
        }
    }
}

fn info_of(cells: AccountCells) -> AccountInfo {
    let code_hash = cells.code_hash();
    let code = cells
        .code
        .as_ref()
        .map_or_else(|| Some(Bytecode::default()), |code| Some(code.bytecode.clone().expect("code cell was imported")));
    AccountInfo { balance: cells.balance, nonce: cells.nonce, code_hash, code, account_id: None }
}
