//! Signed batches: many calls of one account under one signature (docs/SIGNED-BATCH.md).
//!
//! G1. A batch is `0x4d || rlp([chainId, nonce, calls, yParity, r, s])`, a call in it `[to, value, gas, data]`.
//! G2. Each call is checked like a single transaction with nonce + i; one that does not pass refuses the whole batch.
//! G3. Each call becomes a record of its own. Its raw bytes tell all of it, and those of all calls together the signed batch.

use crate::bytes::Packed;
use crate::decode::{Checked, Head, Limits, Refusal, Refused, Signed, check_chain};
use crate::record::KIND_CALL;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_rlp::{Decodable, Encodable, Header};
use revm::context_interface::cfg::GasParams;

pub const CALLS_MAX: usize = 1024;
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Bytes of the batch's id that stand in the hash of each of its calls, before the number of the call.
const ID_BYTES_IN_HASH: usize = 30;

/// A checked batch. What is a slice is RLP as it stands in the signed bytes.
pub struct SignedBatch<'a> {
    chain_id: &'a [u8],
    nonce: u64,
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    to: TxKind,
    has_value: bool,
    gas_limit: u64,
    to_and_value: &'a [u8],
    gas: &'a [u8],
    data: &'a [u8],
}

impl<'a> SignedBatch<'a> {
    pub fn decode(raw: &'a [u8], limits: &Limits, gas_params: &GasParams) -> Result<(Self, Signed<'a>), Refused> {
        if raw.len() > BATCH_BYTES_MAX {
            return Err(Refusal::TooLarge { got: raw.len(), limit: BATCH_BYTES_MAX }.into());
        }
        let mut outer = &raw[1..];
        let fields = Header::decode_bytes(&mut outer, true)?;
        let mut rest = fields;
        let chain_id = U256::decode(&mut rest)?;
        let chain_id_item = before(fields, rest);
        let nonce = u64::decode(&mut rest)?;
        let calls = Header::decode_bytes(&mut rest, true)?;
        let signed_fields = before(fields, rest);
        let (parity, r, s) = (U256::decode(&mut rest)?, U256::decode(&mut rest)?, U256::decode(&mut rest)?);
        if !rest.is_empty() || !outer.is_empty() {
            return Err(Refusal::Malformed.into());
        }
        check_chain(chain_id, limits.chain_id)?;
        let signed = Signed::new(KIND_CALL, signed_fields, parity, r, s)?;
        let calls = decode_calls(calls, nonce, limits, gas_params)?;
        Ok((Self { chain_id: chain_id_item, nonce, calls }, signed))
    }

    /// Appends the records of all calls; returns how many.
    pub fn put(&self, out: &mut Vec<u8>, id: B256, signed: &Signed<'_>, sender: Address) -> u32 {
        let mut hash = id;
        let first = signature_item(self.calls.len(), signed);
        for (number, call) in self.calls.iter().enumerate() {
            hash[ID_BYTES_IN_HASH..].copy_from_slice(&(number as u16).to_be_bytes());
            let signature = if number == 0 { first.as_slice() } else { &[alloy_rlp::EMPTY_LIST_CODE] };
            let nonce = self.nonce + number as u64;
            let &Call { to, has_value, gas_limit, to_and_value, gas, data } = call;
            let payload_length = self.chain_id.len()
                + nonce.length()
                + gas.len()
                + to_and_value.len()
                + data.len()
                + id.length()
                + number.length()
                + signature.len();
            let list = Header { list: true, payload_length };
            let head = Head { kind: KIND_CALL, nonce, gas_limit, hash, sender, to, has_value };
            head.put(out, std::iter::empty(), 1 + list.length() + payload_length);
            out.put_u8(KIND_CALL);
            list.encode(out);
            out.put(self.chain_id);
            nonce.encode(out);
            out.put(gas);
            out.put(to_and_value);
            out.put(data);
            id.encode(out);
            number.encode(out);
            out.put(signature);
        }
        self.calls.len() as u32
    }
}

/// What of `all` was read when `rest` is left.
fn before<'a>(all: &'a [u8], rest: &[u8]) -> &'a [u8] {
    &all[..all.len() - rest.len()]
}

fn decode_calls<'a>(mut items: &'a [u8], nonce: u64, limits: &Limits, gas_params: &GasParams) -> Result<Vec<Call<'a>>, Refused> {
    let mut calls = Vec::new();
    while !items.is_empty() {
        if calls.len() == CALLS_MAX {
            return Err(Refusal::CallCount { got: CALLS_MAX + 1 }.into());
        }
        let call = Header::decode_bytes(&mut items, true)
            .map_err(|_| Refusal::Malformed)
            .and_then(|item| Call::decode(item, nonce.saturating_add(calls.len() as u64), limits, gas_params))
            .map_err(|why| Refused { why, call: Some(calls.len()) })?;
        calls.push(call);
    }
    if calls.is_empty() { Err(Refusal::CallCount { got: 0 }.into()) } else { Ok(calls) }
}

impl<'a> Call<'a> {
    /// `item` is the payload of the call's list.
    fn decode(item: &'a [u8], nonce: u64, limits: &Limits, gas_params: &GasParams) -> Result<Self, Refusal> {
        if item.len() > limits.bytes_max {
            return Err(Refusal::TooLarge { got: item.len(), limit: limits.bytes_max });
        }
        let (call, input) = Self::parse(item).map_err(|_| Refusal::Malformed)?;
        let (gas_limit, creates) = (call.gas_limit, call.to.is_create());
        Checked { nonce, gas_limit, creates, input, access_list: &AccessList::default() }.check(limits, gas_params)?;
        Ok(call)
    }

    /// The call and its input.
    fn parse(item: &'a [u8]) -> alloy_rlp::Result<(Self, &'a [u8])> {
        let mut rest = item;
        let to = TxKind::decode(&mut rest)?;
        let value = U256::decode(&mut rest)?;
        let (to_and_value, from_gas) = (before(item, rest), rest);
        let gas_limit = u64::decode(&mut rest)?;
        let (gas, data) = (before(from_gas, rest), rest);
        let input = Header::decode_bytes(&mut rest, false)?;
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok((Self { to, has_value: !value.is_zero(), gas_limit, to_and_value, gas, data }, input))
    }
}

/// RLP of [count, yParity, r, s], which stands in the raw bytes of call 0.
fn signature_item(count: usize, signed: &Signed<'_>) -> Vec<u8> {
    let (r, s) = (U256::from_be_slice(&signed.signature[..32]), U256::from_be_slice(&signed.signature[32..]));
    let mut out = Vec::with_capacity(80);
    let payload_length = count.length() + signed.parity.length() + r.length() + s.length();
    Header { list: true, payload_length }.encode(&mut out);
    count.encode(&mut out);
    signed.parity.encode(&mut out);
    r.encode(&mut out);
    s.encode(&mut out);
    out
}
