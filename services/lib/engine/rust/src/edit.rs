//! One account open for writing.

use crate::history::AccountUndo;
use crate::state::{Account, Code, code_hash};
use alloy_primitives::{B256, U256};
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// One account open for writing; every setter leaves an undo record if it changes the cell.
pub struct Edit<'a> {
    pub account: &'a mut Account,
    pub undo: &'a mut AccountUndo,
    pub slot_count: &'a mut usize,
    pub undo_slots: &'a mut usize,
}

impl Edit<'_> {
    pub fn set_account(&mut self, balance: U256, code: Option<Arc<Code>>) {
        let has_same_code = code_hash(&self.account.code) == code_hash(&code);
        if self.account.balance == balance && has_same_code {
            return;
        }
        if self.undo.account.is_none() {
            self.undo.account = Some((self.account.balance, self.account.code.clone()));
        }
        self.account.balance = balance;
        if !has_same_code {
            self.account.code = code;
        }
    }

    /// `transaction` wrote the nonce; it stays when the nonce does.
    pub fn set_nonce(&mut self, nonce: u64, transaction: &B256) {
        if self.account.nonce == nonce {
            return;
        }
        self.undo.nonce.get_or_insert((self.account.nonce, self.account.nonce_hash));
        self.account.nonce = nonce;
        self.account.nonce_hash = *transaction;
    }

    pub fn set_slot(&mut self, slot: U256, value: U256) {
        let slots = self.account.slots.get_or_insert_default();
        let before = slots.len();
        let old = if value.is_zero() { slots.remove(&slot) } else { slots.insert(slot, value) };
        *self.slot_count = *self.slot_count + slots.len() - before;
        if let Entry::Vacant(entry) = self.undo.slots.entry(slot) {
            entry.insert(old.unwrap_or_default());
            *self.undo_slots += 1;
        }
        if slots.is_empty() {
            self.account.slots = None;
        }
    }

    pub fn clear_slots(&mut self) {
        let Some(slots) = self.account.slots.take() else { return };
        *self.slot_count -= slots.len();
        for (slot, value) in *slots {
            if let Entry::Vacant(entry) = self.undo.slots.entry(slot) {
                entry.insert(value);
                *self.undo_slots += 1;
            }
        }
    }

    /// The account and all its slots are gone.
    pub fn erase(&mut self) {
        self.clear_slots();
        self.set_account(U256::ZERO, None);
        self.set_nonce(0, &B256::ZERO);
        self.account.exists = false;
    }
}
