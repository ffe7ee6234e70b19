//! Transactions of the log: those that run here, and those that a home proposes for a group.
//!
//! R1. A transaction comes to an end or misses. One that misses changes nothing and is told with all that it touched.
//! R2. The one behind a missed one of the same sender misses without being executed.
//! R3. Members of a group see the writes of those before them; nothing is committed.

use crate::access::{self, Access};
use crate::bytes::{Packed, Reader};
use crate::cells::{self, Cell};
use crate::cellset::CellSet;
use crate::engine::Engine;
use crate::execute::{self, Executed};
use crate::handler::{self, EngineEvm};
use crate::record::{self, NonceRecord, Transaction};
use crate::touch::{self, is_changed};
use crate::turn::Why;
use crate::view::View;
use alloy_primitives::{B256, Bytes};
use revm::state::EvmState;
use std::collections::HashSet;

/// What a run may touch, and what has missed before it (`RunRules` in engine.ts).
pub struct RunRules<'a> {
    flush: u64,
    is_strict: bool,
    barred: &'a [u8],
    missed: &'a [u8],
}

impl<'a> RunRules<'a> {
    /// Layout: u64 flush, u8 strict, u32 length, barred, missed.
    pub fn unpack(packed: &'a [u8]) -> Self {
        let mut reader = Reader::new(packed);
        let (flush, is_strict, length) = (reader.u64(), reader.u8() == 1, reader.u32() as usize);
        Self { flush, is_strict, barred: reader.take(length), missed: reader.rest() }
    }

    fn access(&self) -> Access {
        match (self.is_strict, self.barred.is_empty()) {
            (true, _) => Access::Declared,
            (false, true) => Access::Owned { asks: false },
            (false, false) => Access::Barred(access::addresses(self.barred)),
        }
    }
}

/// The same of a group (`ProposalRules`).
pub struct ProposalRules<'a> {
    flush: u64,
    is_whole: bool,
    allowed: &'a [u8],
    missed: &'a [u8],
}

impl<'a> ProposalRules<'a> {
    /// Layout: u64 flush, u8 whole, u32 length, allowed, missed.
    pub fn unpack(packed: &'a [u8]) -> Self {
        let mut reader = Reader::new(packed);
        let (flush, is_whole, length) = (reader.u64(), reader.u8() == 1, reader.u32() as usize);
        Self { flush, is_whole, allowed: reader.take(length), missed: reader.rest() }
    }
}

/// Positions that missed in the open block.
struct Missed {
    flush: u64,
    positions: HashSet<(u64, u32)>,
}

impl Missed {
    fn new(flush: u64, packed: &[u8]) -> Self {
        let mut reader = Reader::new(packed);
        let mut positions = HashSet::new();
        while !reader.is_done() {
            positions.insert((reader.u64(), reader.u32()));
        }
        Self { flush, positions }
    }

    /// R2.
    fn is_followed_by(&self, transaction: &Transaction<'_>) -> bool {
        !self.positions.is_empty() && transaction.after().is_some_and(|position| self.positions.contains(&position))
    }

    fn add(&mut self, transaction: &Transaction<'_>) {
        self.positions.insert((self.flush, transaction.index()));
    }
}

/// Executes and says why it does not count, if it does not.
fn execute(evm: &mut EngineEvm, transaction: &Transaction<'_>, records: &Bytes) -> (Executed, Option<Why>) {
    let executed = execute::transaction(evm, transaction, records);
    let journal = &mut evm.ctx.journaled_state;
    journal.database.check_writes(&journal.inner.state);
    (executed, journal.database.why())
}

fn put_touches(out: &mut Vec<u8>, evm: &EngineEvm, transaction: &Transaction<'_>, why: Option<Why>) {
    let journal = &evm.ctx.journaled_state;
    let payer = transaction.has_value().then(|| transaction.sender());
    touch::put_record(out, transaction.index(), why, &touch::touched(&journal.database, &journal.inner.state, payer));
}

impl Engine {
    /// Executes transactions and nonce records merged by index, and commits. Answer: u32 length, results; touch records of
    /// those that missed.
    pub fn run(&mut self, transactions: &[u8], nonces: &[u8], rules: &RunRules<'_>) -> Vec<u8> {
        let block = self.open_block_context();
        let records = Bytes::copy_from_slice(transactions); // The input of a transaction is a slice of it, never a copy.
        let mut nonces = record::nonce_records(nonces).peekable();
        let mut results = Vec::with_capacity(transactions.len() + transactions.len() / 2);
        results.put_u32(0); // their length, known at the end
        let mut misses = Vec::new();
        let mut missed = Missed::new(rules.flush, rules.missed);
        let mut evm = handler::evm(View::new(&self.shared, None, block.number, rules.access()), &block, self.shared.chain_id);
        for transaction in record::transactions(&records) {
            while let Some(nonce) = nonces.next_if(|nonce| nonce.index() <= transaction.index()) {
                self.write_nonce(&nonce);
            }
            if missed.is_followed_by(&transaction) {
                missed.add(&transaction);
                touch::put_record(&mut misses, transaction.index(), Some(Why::Follows), &[]);
                continue;
            }
            let (executed, why) = execute(&mut evm, &transaction, &records);
            if why.is_none() {
                self.commit(&evm.ctx.journaled_state.state, &transaction.hash());
                self.age(&transaction);
                executed.put(&mut results, transaction.index());
            } else {
                missed.add(&transaction);
                put_touches(&mut misses, &evm, &transaction, why);
            }
            evm.ctx.journaled_state.state.clear();
        }
        nonces.for_each(|nonce| self.write_nonce(&nonce));
        let length = (results.len() - 4) as u32;
        results[..4].copy_from_slice(&length.to_le_bytes());
        results.append(&mut misses);
        results
    }

    fn write_nonce(&self, nonce: &NonceRecord<'_>) {
        let sender = nonce.sender();
        let is_owned = self.shared.owned.read().expect("no writer panicked").contains(&sender);
        assert!(is_owned, "nonce record for an account that this engine does not own");
        let next = nonce.nonce() + u64::from(nonce.following()) + 1;
        self.state_mut().write_nonce(&sender, nonce.nonce() == 0, next, &nonce.hash());
    }

    /// A sender's first transaction came to an end.
    fn age(&self, transaction: &Transaction<'_>) {
        if transaction.nonce() == 0 {
            self.state_mut().age(&transaction.sender());
        }
    }

    pub fn commit(&self, changes: &EvmState, transaction: &B256) {
        if !changes.values().any(is_changed) {
            return;
        }
        let mut state = self.state_mut();
        for (address, account) in changes.iter().filter(|(_, account)| is_changed(account)) {
            state.commit(address, account, transaction);
        }
    }

    /// Executes members of a group without commit (R3). Returns results, touch records, writes and missing cells.
    pub fn propose(&mut self, transactions: &[u8], given: &[u8], rules: &ProposalRules<'_>) -> [Vec<u8>; 4] {
        let block = self.open_block_context();
        let records = Bytes::copy_from_slice(transactions);
        let (mut results, mut touches, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut missed = Missed::new(rules.flush, rules.missed);
        let access = Access::Group((!rules.is_whole).then(|| access::modes(rules.allowed)));
        let given = self.learn_given(given, &access);
        let view = View::new(&self.shared, None, block.number, access).with_given(given).with_overlay();
        let mut evm = handler::evm(view, &block, self.shared.chain_id);
        for transaction in record::transactions(&records) {
            if missed.is_followed_by(&transaction) {
                missed.add(&transaction);
                touch::put_record(&mut touches, transaction.index(), Some(Why::Follows), &[]);
                continue;
            }
            let (executed, why) = execute(&mut evm, &transaction, &records);
            put_touches(&mut touches, &evm, &transaction, why);
            if why.is_none() {
                overlay(&mut evm, &transaction);
                executed.put(&mut results, transaction.index());
            } else {
                missed.add(&transaction);
            }
            evm.ctx.journaled_state.state.clear();
        }
        let view = &mut evm.ctx.journaled_state.database;
        if !view.missing.is_empty() {
            view.ask_unknown();
        }
        view.missing.iter().for_each(|key| cells::put_key(&mut missing, key));
        let writes = view.overlay().pack();
        if missing.is_empty() {
            self.learn_writes(&writes);
        }
        [results, touches, writes, missing]
    }

    /// Given cells stand in their owner's state. Code of an account in mode `code` was read at the last block boundary.
    fn learn_given(&self, given: &[u8], access: &Access) -> CellSet {
        let mut known = self.shared.known.write().expect("no writer panicked");
        for cell in cells::cells(given) {
            known.learn(&cell);
            if let Cell::Code { address, code } = cell
                && access.is_code(&address)
            {
                known.learn_contract(address, code);
            }
        }
        CellSet::unpack(given, |code| known.analysed(code))
    }

    /// What a group wrote elsewhere will most likely be what is read there next. It may be aborted: no fact.
    fn learn_writes(&self, writes: &[u8]) {
        let owned = self.shared.owned.read().expect("no writer panicked").clone();
        let mut known = self.shared.known.write().expect("no writer panicked");
        cells::cells(writes).filter(|cell| !owned.contains(cell.address())).for_each(|cell| known.learn(&cell));
    }
}

/// Adds what a member wrote to what later ones see.
fn overlay(evm: &mut EngineEvm, transaction: &Transaction<'_>) {
    let journal = &mut evm.ctx.journaled_state;
    let (sender, hash) = (transaction.sender(), transaction.hash());
    journal.database.overlay_changes(&journal.inner.state, &hash);
    if transaction.nonce() == 0 || journal.inner.state.contains_key(&sender) {
        journal.database.overlay_nonce(&sender, transaction.nonce() + 1, &hash);
    }
}
