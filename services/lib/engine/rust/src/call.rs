//! Calls without commit, beside the log: on another thread, at a block's end or at the present state.
//!
//! C1. The engine's thread makes the ticket, which pins a version; whoever runs the call gives the pin back.

use crate::bytes::{Packed, Reader};
use crate::cells;
use crate::halt;
use crate::handler::{self, FreeGas, stop_of};
use crate::history::{BlockContext, Unreadable};
use crate::state::Shared;
use crate::view::{Stop, View};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, Bytes};
use revm::{
    context::{
        TxEnv,
        result::{ExecutionResult, InvalidTransaction},
    },
    handler::Handler,
    primitives::TxKind,
};
use std::sync::Arc;

const SUCCESS: u8 = 0;
const REVERT: u8 = 1;
const HALT: u8 = 2;
const FUNDS: u8 = 3;
const MISSING: u8 = 4;
const PRUNED: u8 = 5;
const UNKNOWN_BLOCK: u8 = 6;

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
    let mut view = View::new(shared, Some(ticket.version)).with_given(reader.take(length));
    if env.kind.is_create() {
        match view.nonce(&env.caller) {
            Ok(nonce) => env.nonce = nonce,
            Err(_) => return missing(&view),
        }
    }
    let gas_limit = env.gas_limit;
    let mut evm = handler::evm(view, &ticket.block, shared.chain_id);
    evm.ctx.tx = env;
    let mut rules = FreeGas::default();
    match rules.run(&mut evm).map_err(stop_of) {
        Ok(ExecutionResult::Success { gas, output, .. }) => answer(SUCCESS, gas.tx_gas_used(), output.data()),
        Ok(ExecutionResult::Revert { gas, output, .. }) => answer(REVERT, gas.tx_gas_used(), &output),
        Ok(ExecutionResult::Halt { gas, reason, .. }) => {
            answer(HALT, gas.tx_gas_used(), halt::wording(&reason, &rules.halted_at).as_bytes())
        }
        Err(Ok(Stop::Funds)) => answer(FUNDS, 0, &[]),
        Err(Ok(Stop::Missing(_))) => missing(&evm.ctx.journaled_state.database),
        Err(Ok(Stop::Unsealed(number))) => answer(HALT, gas_limit, format!("hash of block {number} is not known yet").as_bytes()),
        Err(Err(invalid)) => answer(HALT, gas_limit, too_little_gas(&invalid).as_bytes()),
    }
}

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
