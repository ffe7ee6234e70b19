//! Raw signed transactions: decoding, the checks that need no state, and the packed record.
//!
//! The checks are those of go-ethereum's `txpool.ValidateTransaction` under Osaka: EIP-2, 155, 1559, 2930, 3860, 7623, 7825.

use crate::access::mode;
use crate::bytes::{Packed, Reader};
use crate::handler::SPEC;
use crate::record::{DECLARED_BYTES, TX_CREATES, TX_HAS_VALUE, TX_HEADER_BYTES};
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
}

impl Refusal {
    fn code_and_detail(&self) -> (u8, f64, f64) {
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

/// A checked transaction that still lacks its sender.
pub struct Unrecovered<'a> {
    raw: &'a [u8],
    kind: u8,
    nonce: u64,
    gas_limit: u64,
    to: TxKind,
    value: U256,
    access_list: AccessList,
    /// What recovery needs.
    pub hash_signed: B256,
    pub signature: [u8; 64],
    pub parity: u8,
}

/// Decodes one raw transaction and checks what needs neither state nor the sender.
pub fn decode<'a>(raw: &'a [u8], limits: &Limits, gas_params: &GasParams) -> Result<Unrecovered<'a>, Refusal> {
    if raw.len() > limits.bytes_max {
        return Err(Refusal::TooLarge { got: raw.len(), limit: limits.bytes_max });
    }
    let kind = match raw.first() {
        Some(0xc0..) => 0,
        Some(kind @ 1..=2) => *kind,
        Some(kind @ (0 | 3..=0x7f)) => return Err(Refusal::TypeNotSupported(*kind)),
        _ => return Err(Refusal::Malformed),
    };
    let parsed = Parsed::new(raw, kind).map_err(|_| Refusal::Malformed)?;
    let (hash_signed, parity) = parsed.signed(limits.chain_id)?;
    parsed.check(limits, gas_params)?;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&parsed.r.to_be_bytes::<32>());
    signature[32..].copy_from_slice(&parsed.s.to_be_bytes::<32>());
    let Parsed { nonce, gas_limit, to, value, access_list, .. } = parsed;
    Ok(Unrecovered { raw, kind, nonce, gas_limit, to, value, access_list, hash_signed, signature, parity })
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

    /// The hash that was signed and the parity of the signature's point.
    fn signed(&self, ours: u64) -> Result<(B256, u8), Refusal> {
        let (parity, mut message) = match self.chain_id {
            Some(chain_id) => {
                check_chain(chain_id, ours)?;
                (self.v, vec![self.kind])
            }
            None => {
                if self.v == U256::from(27) || self.v == U256::from(28) {
                    return Err(Refusal::Unprotected);
                }
                let v = self.v.checked_sub(U256::from(35)).ok_or(Refusal::Signature)?;
                check_chain(v >> 1, ours)?;
                (v & U256::from(1), Vec::new())
            }
        };
        if parity > U256::from(1) || self.r.is_zero() || self.r >= ORDER || self.s.is_zero() || self.s > HALF_ORDER {
            return Err(Refusal::Signature);
        }
        let mut suffix = Vec::new();
        if self.kind == 0 {
            ours.encode(&mut suffix); // EIP-155: (chain id, 0, 0) stands where the signature will
            suffix.extend_from_slice(&[0x80, 0x80]);
        }
        let payload_length = self.signed_fields.len() + suffix.len();
        Header { list: true, payload_length }.encode(&mut message);
        message.extend_from_slice(self.signed_fields);
        message.extend_from_slice(&suffix);
        Ok((keccak256(&message), parity.to::<u8>()))
    }

    fn check(&self, limits: &Limits, gas_params: &GasParams) -> Result<(), Refusal> {
        let creates = self.to.is_create();
        if creates && self.input.len() > MAX_INITCODE_SIZE {
            return Err(Refusal::InitCodeSize { got: self.input.len(), limit: MAX_INITCODE_SIZE });
        }
        if self.gas_limit > limits.gas_limit_max {
            return Err(Refusal::GasLimitCap { got: self.gas_limit, cap: limits.gas_limit_max });
        }
        if self.fee_cap < self.tip {
            return Err(Refusal::TipAboveFeeCap);
        }
        if self.nonce >= NONCE_MAX {
            return Err(Refusal::NonceMax);
        }
        let slots = self.access_list.storage_keys_count() as u64;
        let gas = gas_params.initial_tx_gas(self.input, creates, self.access_list.len() as u64, slots, 0, None);
        if gas.initial_total_gas() > self.gas_limit {
            return Err(Refusal::IntrinsicGas { got: self.gas_limit, needed: gas.initial_total_gas() });
        }
        if gas.floor_gas() > self.gas_limit {
            return Err(Refusal::FloorGas { got: self.gas_limit, needed: gas.floor_gas() });
        }
        Ok(())
    }
}

fn check_chain(got: U256, ours: u64) -> Result<(), Refusal> {
    if got == U256::from(ours) { Ok(()) } else { Err(Refusal::ChainId { got: f64::from(got), ours: ours as f64 }) }
}

impl Unrecovered<'_> {
    /// Appends the packed record.
    pub fn put(&self, out: &mut Vec<u8>, sender: Address) {
        let (to, creates) = match self.to {
            TxKind::Call(to) => (to, 0),
            TxKind::Create => (sender.create(self.nonce), TX_CREATES),
        };
        let has_value = if self.value.is_zero() { 0 } else { TX_HAS_VALUE };
        let mut declared = vec![to];
        declared.extend((has_value != 0).then_some(sender));
        declared.extend(self.access_list.iter().map(|item| item.address));
        declared.sort_unstable();
        declared.dedup();
        let raw_offset = TX_HEADER_BYTES + DECLARED_BYTES * declared.len();
        out.put_u32((raw_offset + self.raw.len()) as u32);
        out.put_u32(0); // the index; written by the scheduler
        out.put(&[self.kind, creates | has_value]);
        out.put_u16(declared.len() as u16);
        out.put_u32(raw_offset as u32);
        out.put_u64(self.nonce);
        out.put_u64(self.gas_limit);
        out.put(keccak256(self.raw).as_slice());
        out.put(sender.as_slice());
        out.put(to.as_slice());
        out.put(&[0; 16]); // afterFlush, afterIndex, attempt; written by the scheduler
        for address in declared {
            out.put_u8(mode::WRITE);
            out.put(address.as_slice());
        }
        out.put(self.raw);
    }
}

/// Decoded records and, for each input, status and detail.
#[derive(Default)]
pub struct Batch {
    pub records: Vec<u8>,
    pub statuses: Vec<u8>,
    pub details: Vec<u8>, // two f64, little-endian, for each input
}

impl Batch {
    fn refuse(&mut self, refusal: &Refusal) {
        let (code, got, limit) = refusal.code_and_detail();
        self.status(code, got, limit);
    }

    fn status(&mut self, code: u8, got: f64, limit: f64) {
        self.statuses.push(code);
        self.details.extend_from_slice(&got.to_le_bytes());
        self.details.extend_from_slice(&limit.to_le_bytes());
    }
}

/// The raw transactions of (u32 bytes, raw)*.
pub fn raws(packed: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(packed);
    std::iter::from_fn(move || {
        if reader.is_done() {
            return None;
        }
        let length = reader.u32() as usize;
        Some(reader.take(length))
    })
}

/// Decodes a batch; `recover` finds the sender of the n-th input that passed the other checks.
pub fn decode_batch(
    packed: &[u8],
    limits: &Limits,
    mut recover: impl FnMut(usize, &Unrecovered<'_>) -> Option<Address>,
) -> Batch {
    let gas_params = GasParams::new_spec(SPEC);
    let mut batch = Batch::default();
    let mut passed = 0;
    for raw in raws(packed) {
        match decode(raw, limits, &gas_params) {
            Err(refusal) => batch.refuse(&refusal),
            Ok(transaction) => {
                match recover(passed, &transaction) {
                    Some(sender) => {
                        transaction.put(&mut batch.records, sender);
                        batch.status(0, 0.0, 0.0);
                    }
                    None => batch.refuse(&Refusal::Signature),
                }
                passed += 1;
            }
        }
    }
    batch
}

/// An account's address: the last 20 bytes of the hash of its public key (64 bytes, without the leading 4).
pub fn address_of_key(key: &[u8]) -> Address {
    Address::from_slice(&keccak256(key)[12..])
}

/// Recovery by libsecp256k1.
#[cfg(feature = "native")]
pub fn recover(transaction: &Unrecovered<'_>) -> Option<Address> {
    use secp256k1::{Message, SECP256K1, ecdsa::RecoverableSignature, ecdsa::RecoveryId};
    let id = RecoveryId::try_from(i32::from(transaction.parity)).ok()?;
    let signature = RecoverableSignature::from_compact(&transaction.signature, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(transaction.hash_signed.0), &signature).ok()?;
    Some(address_of_key(&key.serialize_uncompressed()[1..]))
}
