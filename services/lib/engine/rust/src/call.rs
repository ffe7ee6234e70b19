//! Calls without commit, beside the log: on another thread, at a block's end or at the present state.
//!
//! C1. The engine's thread makes the ticket, which pins a version; whoever runs the call gives the pin back.

use crate::access::Access;
use crate::bytes::{Packed, Reader};
use crate::cells;
use crate::cellset::{CellSet, analyse};
use crate::database::NoFunds;
use crate::halt;
use crate::handler::{self, FreeGas, stop_of};
use crate::history::{BlockContext, Unreadable};
use crate::state::Shared;
use crate::touch;
use crate::turn::Why;
use crate::view::View;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, Bytes};
use revm::{
    context::{
        TxEnv,
        result::{ExecutionResult, InvalidTransaction},
    },
    handler::Handler,
    primitives::TxKind,
    state::EvmState,
};
use std::sync::Arc;

const SUCCESS: u8 = 0;
const REVERT: u8 = 1;
const HALT: u8 = 2;
const FUNDS: u8 = 3;
const MISSING: u8 = 4;
const PRUNED: u8 = 5;
const UNKNOWN_BLOCK: u8 = 6;
const UNSEALED: u8 = 7;

/// A pinned version and the block context that goes with it.
pub struct Ticket {
    version: u64,
    block: BlockContext,
}

impl Ticket {
    /// `None` asks for the present state.
    pub fn new(shared: &Shared, block: Option<u64>) -> Result<Self, Unreadable> {
        let mut state = shared.state.write().expect("no writer panicked");
        match block {
            Some(number) => {
                let (version, block) = state.history.find(number)?;
                shared.pins.add(version);
                Ok(Self { version, block })
            }
            None => {
                let block = state.open.or(state.history.last_closed()).ok_or(Unreadable::Unknown { newest: 0 })?;
                Ok(Self { version: state.history.pin_present(&shared.pins), block })
            }
        }
    }

    pub fn pack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.version);
        out.put_u64(self.block.number);
        out.put_u64(self.block.timestamp);
        out.put(self.block.prevrandao.as_slice());
        out.put_u64(self.block.gas_limit);
        out
    }

    fn unpack(reader: &mut Reader<'_>) -> Self {
        Self { version: reader.u64(), block: BlockContext::unpack(reader) }
    }
}

impl BlockContext {
    pub fn unpack(reader: &mut Reader<'_>) -> Self {
        Self { number: reader.u64(), timestamp: reader.u64(), prevrandao: reader.b256(), gas_limit: reader.u64() }
    }
}

/// The packed answer of a call that cannot start.
pub fn unreadable(why: &Unreadable) -> Vec<u8> {
    match why {
        Unreadable::Pruned { oldest } => answer(PRUNED, *oldest, &[]),
        Unreadable::Unknown { newest } => answer(UNKNOWN_BLOCK, *newest, &[]),
    }
}

fn answer(status: u8, number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(9 + bytes.len());
    out.put_u8(status);
    out.put_u64(number);
    out.put(bytes);
    out
}

/// Runs a packed ticket and request; gives the pin back.
pub fn run(shared: &Arc<Shared>, packed: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(packed);
    let ticket = Ticket::unpack(&mut reader);
    let result = execute(shared, &ticket, &mut reader);
    shared.pins.remove(ticket.version);
    result
}

fn execute(shared: &Arc<Shared>, ticket: &Ticket, reader: &mut Reader<'_>) -> Vec<u8> {
    let mut env = request(reader);
    let length = reader.u32() as usize;
    let given = CellSet::unpack(reader.take(length), analyse);
    let is_traced = reader.u8() == 1;
    let mut view = View::new(shared, Some(ticket.version), ticket.block.number, Access::Owned { asks: true }).with_given(given);
    if env.kind.is_create() {
        env.nonce = view.creation_nonce(&env.caller);
    }
    let gas_limit = env.gas_limit;
    let callee = env.kind.to().copied().unwrap_or_else(|| env.caller.create(env.nonce));
    let (payer, excluded) = ((!env.value.is_zero()).then_some(env.caller), [env.caller, callee]);
    let mut evm = handler::evm(view, &ticket.block, shared.chain_id);
    evm.ctx.tx = env;
    let mut rules = FreeGas::default();
    let result = rules.run(&mut evm).map_err(stop_of);
    let journal = &evm.ctx.journaled_state;
    let view = &journal.database;
    if !view.missing.is_empty() {
        return missing(view); // What came out is made of guesses.
    }
    if let Some(Why::Unsealed(number)) = view.why() {
        return answer(UNSEALED, number, &[]);
    }
    let state = &journal.inner.state;
    let access = || is_traced.then(|| (touch::touched(view, state, payer), state, excluded));
    match result {
        Ok(ExecutionResult::Success { gas, output, .. }) => executed(SUCCESS, gas.tx_gas_used(), output.data(), access()),
        Ok(ExecutionResult::Revert { gas, output, .. }) => executed(REVERT, gas.tx_gas_used(), &output, access()),
        Ok(ExecutionResult::Halt { gas, reason, .. }) => {
            executed(HALT, gas.tx_gas_used(), halt::wording(&reason, &rules.halted_at).as_bytes(), access())
        }
        Err(Ok(NoFunds)) => answer(FUNDS, 0, &[]),
        Err(Err(invalid)) => executed(HALT, gas_limit, too_little_gas(&invalid).as_bytes(), access()),
    }
}

/// Bytes: u32 length, output or wording; if traced u32 length, access list; touched accounts.
fn executed(status: u8, gas_used: u64, output: &[u8], access: Option<Traced<'_>>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(output.len() + 4);
    bytes.put_u32(output.len() as u32);
    bytes.put(output);
    if let Some((touched, state, excluded)) = access {
        let mut list = Vec::new();
        touch::put_access_list(&mut list, state, &excluded);
        bytes.put_u32(list.len() as u32);
        bytes.put(&list);
        touch::put_touched(&mut bytes, &touched);
    }
    answer(status, gas_used, &bytes)
}

/// Touched accounts with their modes, the journal, and accounts that stand in the access list only with slots.
type Traced<'a> = (Vec<(Address, u8)>, &'a EvmState, [Address; 2]);

fn missing(view: &View) -> Vec<u8> {
    let mut request = Vec::new();
    view.missing.iter().for_each(|key| cells::put_key(&mut request, key));
    answer(MISSING, 0, &request)
}

fn too_little_gas(invalid: &InvalidTransaction) -> String {
    match invalid {
        InvalidTransaction::CallGasCostMoreThanGasLimit { gas_limit, initial_gas } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_limit, gas_floor } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        other => panic!("no other check is made of a call: {other}"),
    }
}

/// Layout: b20 from, u8 hasTo, b20 to, b32 value, u64 gasLimit, u32 length, data, u32 length, access list.
fn request(reader: &mut Reader<'_>) -> TxEnv {
    let caller = reader.address();
    let has_to = reader.u8() == 1;
    let to = reader.address();
    let value = reader.u256();
    let gas_limit = reader.u64();
    let length = reader.u32() as usize;
    let data = Bytes::copy_from_slice(reader.take(length));
    let length = reader.u32() as usize;
    let access_list = access_list(reader.take(length));
    let kind = if has_to { TxKind::Call(to) } else { TxKind::Create };
    let tx_type = if access_list.is_empty() { 0 } else { 1 };
    TxEnv { tx_type, caller, gas_limit, gas_price: 0, kind, value, data, access_list, chain_id: None, ..TxEnv::default() }
}

/// (b20 address, u16 slots, b32 * slots)*
fn access_list(packed: &[u8]) -> AccessList {
    let mut reader = Reader::new(packed);
    let mut items = Vec::new();
    while !reader.is_done() {
        let address: Address = reader.address();
        let storage_keys = (0..reader.u16()).map(|_| reader.b256()).collect();
        items.push(AccessListItem { address, storage_keys });
    }
    AccessList(items)
}
