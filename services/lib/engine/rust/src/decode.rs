//! Raw signed transactions: decoding, the checks that need no state, and the packed record.
//!
//! The checks are those of go-ethereum's `txpool.ValidateTransaction` under Osaka: EIP-2, 155, 1559, 2930, 3860, 7623, 7825.

use crate::access::mode;
use crate::bytes::Packed;
use crate::keccak::{Messages, hash_all};
use crate::record::{DECLARED_BYTES, KIND_CALL, TX_CREATES, TX_HAS_VALUE, TX_HEADER_BYTES};
use crate::signed_batch::{CALLS_MAX, SignedBatch};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, Header};
use revm::{context_interface::cfg::GasParams, primitives::eip3860::MAX_INITCODE_SIZE};

/// Codes of `DECODE` in engine.ts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal {
    Malformed,
    TypeNotSupported(u8),
    ChainId { got: f64, ours: f64 },
    Unprotected,
    Signature,
    NonceMax,
    GasLimitCap { got: u64, cap: u64 },
    IntrinsicGas { got: u64, needed: u64 },
    FloorGas { got: u64, needed: u64 },
    InitCodeSize { got: usize, limit: usize },
    TipAboveFeeCap,
    TooLarge { got: usize, limit: usize },
    CallCount { got: usize },
}

impl Refusal {
    pub fn code_and_detail(&self) -> (u8, f64, f64) {
        match *self {
            Refusal::Malformed => (1, 0.0, 0.0),
            Refusal::TypeNotSupported(kind) => (2, f64::from(kind), 0.0),
            Refusal::ChainId { got, ours } => (3, got, ours),
            Refusal::Unprotected => (4, 0.0, 0.0),
            Refusal::Signature => (5, 0.0, 0.0),
            Refusal::NonceMax => (6, 0.0, 0.0),
            Refusal::GasLimitCap { got, cap } => (7, got as f64, cap as f64),
            Refusal::IntrinsicGas { got, needed } => (8, got as f64, needed as f64),
            Refusal::FloorGas { got, needed } => (9, got as f64, needed as f64),
            Refusal::InitCodeSize { got, limit } => (10, got as f64, limit as f64),
            Refusal::TipAboveFeeCap => (11, 0.0, 0.0),
            Refusal::TooLarge { got, limit } => (12, got as f64, limit as f64),
            Refusal::CallCount { got } => (13, got as f64, CALLS_MAX as f64),
        }
    }
}

/// Order of the curve and its half: EIP-2 refuses signatures with s in the upper half.
const ORDER: U256 = U256::from_limbs([0xbfd25e8cd0364141, 0xbaaedce6af48a03b, 0xfffffffffffffffe, 0xffffffffffffffff]);
pub const HALF_ORDER: U256 = U256::from_limbs([0xdfe92f46681b20a0, 0x5d576e7357a4501d, 0xffffffffffffffff, 0x7fffffffffffffff]);
/// Numbers go to JavaScript, which counts exactly up to here.
const NONCE_MAX: u64 = 1 << 53;

pub struct Limits {
    pub chain_id: u64,
    pub gas_limit_max: u64,
    pub bytes_max: usize,
}

/// Why an input is refused, and which call of a signed batch it is refused for.
pub struct Refused {
    pub why: Refusal,
    pub call: Option<usize>,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { why, call: None }
    }
}

impl From<alloy_rlp::Error> for Refused {
    fn from(_: alloy_rlp::Error) -> Self {
        Refusal::Malformed.into()
    }
}

/// What was signed, and the signature: what recovery needs.
pub struct Signed<'a> {
    kind: u8,
    /// The fields that are signed, as they stand in the list.
    fields: &'a [u8],
    /// EIP-155: (chain id, 0, 0) stands where the signature will. Empty for typed transactions.
    suffix: Vec<u8>,
    pub signature: [u8; 64],
    pub parity: u8,
}

impl<'a> Signed<'a> {
    pub fn new(kind: u8, fields: &'a [u8], parity: U256, r: U256, s: U256) -> Result<Self, Refusal> {
        if parity > U256::from(1) || r.is_zero() || r >= ORDER || s.is_zero() || s > HALF_ORDER {
            return Err(Refusal::Signature);
        }
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r.to_be_bytes::<32>());
        signature[32..].copy_from_slice(&s.to_be_bytes::<32>());
        Ok(Self { kind, fields, suffix: Vec::new(), signature, parity: parity.to::<u8>() })
    }

    fn put_message(&self, out: &mut Vec<u8>) {
        if self.kind != 0 {
            out.put_u8(self.kind);
        }
        Header { list: true, payload_length: self.fields.len() + self.suffix.len() }.encode(out);
        out.put(self.fields);
        out.put(&self.suffix);
    }
}

/// The hashes that were signed.
pub fn signed_hashes(signed: &[&Signed<'_>]) -> Vec<B256> {
    let mut messages = Messages::default();
    for signed in signed {
        signed.put_message(&mut messages.bytes);
        messages.end();
    }
    hash_all(&messages.all())
}

/// A checked input that still lacks its sender.
pub struct Unrecovered<'a> {
    pub raw: &'a [u8],
    pub signed: Signed<'a>,
    body: Body<'a>,
}

enum Body<'a> {
    Single { nonce: u64, gas_limit: u64, to: TxKind, value: U256, access_list: AccessList },
    Batch(SignedBatch<'a>),
}

/// Decodes one raw input and checks what needs neither state nor the sender.
pub fn decode<'a>(raw: &'a [u8], limits: &Limits, gas_params: &GasParams) -> Result<Unrecovered<'a>, Refused> {
    if raw.first() == Some(&KIND_CALL) {
        let (batch, signed) = SignedBatch::decode(raw, limits, gas_params)?;
        return Ok(Unrecovered { raw, signed, body: Body::Batch(batch) });
    }
    if raw.len() > limits.bytes_max {
        return Err(Refusal::TooLarge { got: raw.len(), limit: limits.bytes_max }.into());
    }
    let kind = match raw.first() {
        Some(0xc0..) => 0,
        Some(kind @ 1..=2) => *kind,
        Some(kind @ (0 | 3..=0x7f)) => return Err(Refusal::TypeNotSupported(*kind).into()),
        _ => return Err(Refusal::Malformed.into()),
    };
    let parsed = Parsed::new(raw, kind)?;
    let signed = parsed.signed(limits.chain_id)?;
    parsed.check(limits, gas_params)?;
    let Parsed { nonce, gas_limit, to, value, access_list, .. } = parsed;
    Ok(Unrecovered { raw, signed, body: Body::Single { nonce, gas_limit, to, value, access_list } })
}

struct Parsed<'a> {
    kind: u8,
    chain_id: Option<U256>, // of a typed transaction
    nonce: u64,
    tip: U256,
    fee_cap: U256,
    gas_limit: u64,
    to: TxKind,
    value: U256,
    input: &'a [u8],
    access_list: AccessList,
    v: U256,
    r: U256,
    s: U256,
    /// The fields that are signed, as they stand in the list.
    signed_fields: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn new(raw: &'a [u8], kind: u8) -> alloy_rlp::Result<Self> {
        let mut outer = if kind == 0 { raw } else { &raw[1..] };
        let fields = Header::decode_bytes(&mut outer, true)?;
        let mut rest = fields;
        let chain_id = if kind == 0 { None } else { Some(U256::decode(&mut rest)?) };
        let nonce = u64::decode(&mut rest)?;
        let tip = U256::decode(&mut rest)?;
        let fee_cap = if kind == 2 { U256::decode(&mut rest)? } else { tip };
        let gas_limit = u64::decode(&mut rest)?;
        let to = TxKind::decode(&mut rest)?;
        let value = U256::decode(&mut rest)?;
        let input = Header::decode_bytes(&mut rest, false)?;
        let access_list = if kind == 0 { AccessList::default() } else { AccessList::decode(&mut rest)? };
        let signed_fields = &fields[..fields.len() - rest.len()];
        let (v, r, s) = (U256::decode(&mut rest)?, U256::decode(&mut rest)?, U256::decode(&mut rest)?);
        if !rest.is_empty() || !outer.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(Self { kind, chain_id, nonce, tip, fee_cap, gas_limit, to, value, input, access_list, v, r, s, signed_fields })
    }

    fn signed(&self, ours: u64) -> Result<Signed<'a>, Refusal> {
        let Self { kind, chain_id, v, r, s, signed_fields, .. } = *self;
        if let Some(chain_id) = chain_id {
            check_chain(chain_id, ours)?;
            return Signed::new(kind, signed_fields, v, r, s);
        }
        if v == U256::from(27) || v == U256::from(28) {
            return Err(Refusal::Unprotected);
        }
        let v = v.checked_sub(U256::from(35)).ok_or(Refusal::Signature)?;
        check_chain(v >> 1, ours)?;
        let mut signed = Signed::new(kind, signed_fields, v & U256::from(1), r, s)?;
        ours.encode(&mut signed.suffix);
        signed.suffix.extend_from_slice(&[0x80, 0x80]);
        Ok(signed)
    }

    fn check(&self, limits: &Limits, gas_params: &GasParams) -> Result<(), Refusal> {
        if self.fee_cap < self.tip {
            return Err(Refusal::TipAboveFeeCap);
        }
        let Self { nonce, gas_limit, input, ref access_list, .. } = *self;
        let creates = self.to.is_create();
        Checked { nonce, gas_limit, creates, input, access_list }.check(limits, gas_params)
    }
}

/// What is checked of every transaction, single or call of a batch.
pub struct Checked<'a> {
    pub nonce: u64,
    pub gas_limit: u64,
    pub creates: bool,
    pub input: &'a [u8],
    pub access_list: &'a AccessList,
}

impl Checked<'_> {
    pub fn check(&self, limits: &Limits, gas_params: &GasParams) -> Result<(), Refusal> {
        let Self { nonce, gas_limit, creates, input, access_list } = *self;
        if creates && input.len() > MAX_INITCODE_SIZE {
            return Err(Refusal::InitCodeSize { got: input.len(), limit: MAX_INITCODE_SIZE });
        }
        if gas_limit > limits.gas_limit_max {
            return Err(Refusal::GasLimitCap { got: gas_limit, cap: limits.gas_limit_max });
        }
        if nonce >= NONCE_MAX {
            return Err(Refusal::NonceMax);
        }
        let slots = access_list.storage_keys_count() as u64;
        let gas = gas_params.initial_tx_gas(input, creates, access_list.len() as u64, slots, 0, None);
        if gas.initial_total_gas() > gas_limit {
            return Err(Refusal::IntrinsicGas { got: gas_limit, needed: gas.initial_total_gas() });
        }
        if gas.floor_gas() > gas_limit {
            return Err(Refusal::FloorGas { got: gas_limit, needed: gas.floor_gas() });
        }
        Ok(())
    }
}

pub fn check_chain(got: U256, ours: u64) -> Result<(), Refusal> {
    if got == U256::from(ours) { Ok(()) } else { Err(Refusal::ChainId { got: f64::from(got), ours: ours as f64 }) }
}

/// The fields of a record's header that a raw transaction tells.
pub struct Head {
    pub kind: u8,
    pub nonce: u64,
    pub gas_limit: u64,
    pub hash: B256,
    pub sender: Address,
    pub to: TxKind,
    pub has_value: bool,
}

impl Head {
    /// Appends the packed record up to its raw transaction, which the caller appends.
    pub fn put(&self, out: &mut Vec<u8>, listed: impl Iterator<Item = Address>, raw_bytes: usize) {
        let (to, creates) = match self.to {
            TxKind::Call(to) => (to, 0),
            TxKind::Create => (self.sender.create(self.nonce), TX_CREATES),
        };
        let mut declared = vec![to];
        declared.extend(self.has_value.then_some(self.sender));
        declared.extend(listed);
        declared.sort_unstable();
        declared.dedup();
        let raw_offset = TX_HEADER_BYTES + DECLARED_BYTES * declared.len();
        // Index, afterFlush, afterIndex and attempt are written by the scheduler.
        let mut header = [0; TX_HEADER_BYTES];
        header[..4].copy_from_slice(&((raw_offset + raw_bytes) as u32).to_le_bytes());
        header[8] = self.kind;
        header[9] = creates | if self.has_value { TX_HAS_VALUE } else { 0 };
        header[10..12].copy_from_slice(&(declared.len() as u16).to_le_bytes());
        header[12..16].copy_from_slice(&(raw_offset as u32).to_le_bytes());
        header[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        header[24..32].copy_from_slice(&self.gas_limit.to_le_bytes());
        header[32..64].copy_from_slice(self.hash.as_slice());
        header[64..84].copy_from_slice(self.sender.as_slice());
        header[84..104].copy_from_slice(to.as_slice());
        out.put(&header);
        for address in declared {
            out.put_u8(mode::WRITE);
            out.put(address.as_slice());
        }
    }
}

impl Unrecovered<'_> {
    /// Appends the packed records; returns how many. `hash` is that of the raw bytes.
    pub fn put(&self, out: &mut Vec<u8>, sender: Address, hash: B256) -> u32 {
        match &self.body {
            Body::Batch(batch) => batch.put(out, hash, &self.signed, sender),
            &Body::Single { nonce, gas_limit, to, value, ref access_list } => {
                let has_value = !value.is_zero();
                let head = Head { kind: self.signed.kind, nonce, gas_limit, hash, sender, to, has_value };
                head.put(out, access_list.iter().map(|item| item.address), self.raw.len());
                out.put(self.raw);
                1
            }
        }
    }
}

/// An account's address: the last 20 bytes of the hash of its public key (64 bytes, without the leading 4).
pub fn address_of_key(key: &[u8]) -> Address {
    Address::from_slice(&keccak256(key)[12..])
}

/// Recovery by libsecp256k1.
#[cfg(feature = "native")]
pub fn recover(signed: &[&Signed<'_>]) -> Vec<Option<Address>> {
    signed.iter().zip(signed_hashes(signed)).map(|(signed, hash)| recover_one(signed, hash)).collect()
}

#[cfg(feature = "native")]
fn recover_one(signed: &Signed<'_>, hash: B256) -> Option<Address> {
    use secp256k1::{Message, SECP256K1, ecdsa::RecoverableSignature, ecdsa::RecoveryId};
    let id = RecoveryId::try_from(i32::from(signed.parity)).ok()?;
    let signature = RecoverableSignature::from_compact(&signed.signature, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(hash.0), &signature).ok()?;
    Some(address_of_key(&key.serialize_uncompressed()[1..]))
}
