//! What one execution sees: the state (now or at a version), cells that were given, and the writes of earlier members.
//!
//! V1. A cell that is neither owned nor given is a miss, never an empty one.
//! V2. The lock is held for the read of one cell, so a call beside the log delays it by no more.

use crate::cells::{self, CellKey};
use crate::cellset::{CellSet, PartialAccount};
use crate::owned::Owned;
use crate::state::{AccountCells, Shared};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    state::{AccountInfo, EvmState},
};
use std::collections::BTreeSet;
use std::sync::{Arc, RwLockReadGuard};

/// Why an execution cannot go on. Rules of this chain, not of the EVM: the transaction changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Missing(Address),
    Unsealed(u64),
    Funds,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl std::error::Error for Stop {}
impl DBErrorMarker for Stop {}

pub struct View {
    shared: Arc<Shared>,
    owned: Arc<Owned>,
    version: Option<u64>,
    given: Option<CellSet>,
    overlay: Option<CellSet>,
    /// Every missing cell met so far.
    pub missing: BTreeSet<CellKey>,
    /// Hashes of given accounts whose code was not given.
    unknown_code: Vec<(B256, Address)>,
}

impl View {
    pub fn new(shared: &Arc<Shared>, version: Option<u64>) -> Self {
        let owned = shared.owned.read().expect("no writer panicked").clone();
        Self {
            shared: shared.clone(),
            owned,
            version,
            given: None,
            overlay: None,
            missing: BTreeSet::new(),
            unknown_code: Vec::new(),
        }
    }

    pub fn with_given(mut self, given: &[u8]) -> Self {
        self.given = (!given.is_empty()).then(|| CellSet::unpack(given));
        self
    }

    /// Later executions see the writes of earlier ones, which are collected instead of committed.
    pub fn with_overlay(mut self) -> Self {
        self.overlay = Some(CellSet::default());
        self
    }

    pub fn take_overlay(&mut self) -> CellSet {
        self.overlay.take().unwrap_or_default()
    }

    fn state(&self) -> RwLockReadGuard<'_, crate::state::State> {
        self.shared.state.read().expect("no writer panicked")
    }

    fn given(&self, address: &Address) -> Option<&PartialAccount> {
        self.given.as_ref()?.accounts.get(address)
    }

    fn overlaid(&self, address: &Address) -> Option<&PartialAccount> {
        self.overlay.as_ref()?.accounts.get(address)
    }

    /// True if a touch of the account is no miss for want of its record.
    pub fn has_account(&self, address: &Address) -> bool {
        self.owned.contains(address) || self.given(address).is_some_and(|given| given.account.is_some() && given.nonce.is_some())
    }

    pub fn miss_account(&mut self, address: &Address) -> Stop {
        let (has_account, has_nonce, has_code) = self
            .given(address)
            .map_or((false, false, false), |given| (given.account.is_some(), given.nonce.is_some(), given.code.is_some()));
        for (kind, is_known) in [(cells::ACCOUNT, has_account), (cells::NONCE, has_nonce), (cells::CODE, has_code || has_account)]
        {
            if !is_known {
                self.missing.insert(CellKey { address: *address, kind, slot: U256::ZERO });
            }
        }
        Stop::Missing(*address)
    }

    /// The account below the overlay.
    fn base_account(&mut self, address: &Address) -> Result<Option<AccountInfo>, Stop> {
        if self.owned.contains(address) {
            let found = self.state().account(address, self.version);
            return Ok(found.exists.then(|| info_of(found)));
        }
        let Some((Some((balance, code_hash)), Some((nonce, _)), code)) =
            self.given(address).map(|given| (given.account, given.nonce, given.code.clone()))
        else {
            if is_precompile(address) {
                return Ok(None); // Looking at it is guarded in `handler`; a call of it needs no record.
            }
            return Err(self.miss_account(address));
        };
        let code =
            if code_hash == KECCAK256_EMPTY { Some(Bytecode::default()) } else { code.or_else(|| self.known_code(&code_hash)) };
        if code.is_none() {
            self.unknown_code.push((code_hash, *address));
        }
        Ok(Some(AccountInfo { balance, nonce, code_hash, code, account_id: None }))
    }

    fn known_code(&self, hash: &B256) -> Option<Bytecode> {
        self.state().codes.get(hash).and_then(|code| code.bytecode.clone())
    }

    /// The nonce alone, for the address of a creation.
    pub fn nonce(&mut self, address: &Address) -> Result<u64, Stop> {
        Ok(self.basic(*address)?.map_or(0, |info| info.nonce))
    }

    /// Adds a transaction's writes to the overlay.
    pub fn overlay_changes(&mut self, changes: &EvmState, transaction: &B256) {
        for (address, account) in changes.iter().filter(|(_, account)| is_changed(account)) {
            let original = account.original_info();
            let before = (original.balance, original.code_hash, original.nonce);
            let overlay = self.overlay.as_mut().expect("executions without commit have an overlay");
            overlay.commit(address, account, before, transaction);
        }
    }
}

/// True if the transaction wrote any cell of the account.
#[inline]
pub fn is_changed(account: &revm::state::Account) -> bool {
    account.is_touched()
        && (account.is_selfdestructed() || account.is_changed() || account.storage.values().any(|slot| slot.is_changed()))
}

fn info_of(cells: AccountCells) -> AccountInfo {
    let code_hash = cells.code_hash();
    let code = cells
        .code
        .as_ref()
        .map_or_else(|| Some(Bytecode::default()), |code| Some(code.bytecode.clone().expect("code cell was imported")));
    AccountInfo { balance: cells.balance, nonce: cells.nonce, code_hash, code, account_id: None }
}

/// Osaka: 0x01 to 0x11, and 0x100 (EIP-7951).
#[inline]
pub fn is_precompile(address: &Address) -> bool {
    let (head, tail) = address.split_at(18);
    let number = u16::from_be_bytes([tail[0], tail[1]]);
    head.iter().all(|byte| *byte == 0) && matches!(number, 0x01..=0x11 | 0x100)
}

impl Database for View {
    type Error = Stop;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Stop> {
        let Some(over) = self.overlaid(&address) else { return self.base_account(&address) };
        let (account, nonce, code, is_erased) = (over.account, over.nonce, over.code.clone(), over.is_erased);
        let mut info = if is_erased { AccountInfo::default() } else { self.base_account(&address)?.unwrap_or_default() };
        if let Some((balance, code_hash)) = account {
            info.balance = balance;
            if info.code_hash != code_hash {
                info.code_hash = code_hash;
                info.code = code.or(Some(Bytecode::default()));
            }
        }
        if let Some((nonce, _)) = nonce {
            info.nonce = nonce;
        }
        Ok(Some(info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Stop> {
        let address = self.unknown_code.iter().find(|(hash, _)| *hash == code_hash).map(|(_, address)| *address);
        let address = address.expect("every other account comes with its code");
        self.missing.insert(CellKey { address, kind: cells::CODE, slot: U256::ZERO });
        Err(Stop::Missing(address))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Stop> {
        if let Some(over) = self.overlaid(&address) {
            match over.slots.get(&slot) {
                Some(value) => return Ok(*value),
                None if over.is_erased => return Ok(U256::ZERO),
                None => {}
            }
        }
        if self.owned.contains(&address) {
            return Ok(self.state().slot(&address, &slot, self.version));
        }
        if let Some(value) = self.given(&address).and_then(|given| given.slots.get(&slot)) {
            return Ok(*value);
        }
        self.missing.insert(CellKey { address, kind: cells::SLOT, slot });
        Err(Stop::Missing(address))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Stop> {
        self.state().history.hash(number).ok_or(Stop::Unsealed(number))
    }
}
