//! The packed transaction, nonce and result records (`transactions.ts`, `results.ts`).

use crate::bytes::Packed;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_rlp::{Decodable, Header};
use std::ops::Range;

/// Type of a signed batch, and of the records of its calls.
pub const KIND_CALL: u8 = 0x4d;
pub const TX_HEADER_BYTES: usize = 120;
/// One declared account: mode and address.
pub const DECLARED_BYTES: usize = 21;
pub const TX_CREATES: u8 = 1;
pub const TX_HAS_VALUE: u8 = 2;
pub const NONCE_BYTES: usize = 68;
pub const RESULT_HEADER_BYTES: usize = 64;

pub const REASON_NONE: u8 = 0;
pub const REASON_REVERT: u8 = 1;
pub const REASON_HALT: u8 = 2;
pub const REASON_VOID: u8 = 4;

/// Of what a reverted transaction gave back at most so much stands in its result.
const OUTPUT_BYTES_MAX: usize = 4096;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// One transaction record as a view.
#[derive(Clone, Copy)]
pub struct Transaction<'a> {
    bytes: &'a [u8],
    /// Where the record starts in its buffer.
    pub start: usize,
}

/// What the record does not repeat of the raw transaction. `input` counts from the start of the raw transaction.
pub struct RawFields {
    pub value: U256,
    pub input: Range<usize>,
    pub access_list: AccessList,
}

impl<'a> Transaction<'a> {
    pub fn index(&self) -> u32 {
        u32_at(self.bytes, 4)
    }

    pub fn kind(&self) -> u8 {
        self.bytes[8]
    }

    pub fn creates(&self) -> bool {
        self.bytes[9] & TX_CREATES != 0
    }

    pub fn has_value(&self) -> bool {
        self.bytes[9] & TX_HAS_VALUE != 0
    }

    pub fn nonce(&self) -> u64 {
        u64_at(self.bytes, 16)
    }

    pub fn gas_limit(&self) -> u64 {
        u64_at(self.bytes, 24)
    }

    pub fn hash(&self) -> B256 {
        B256::from_slice(&self.bytes[32..64])
    }

    pub fn sender(&self) -> Address {
        Address::from_slice(&self.bytes[64..84])
    }

    pub fn to(&self) -> Address {
        Address::from_slice(&self.bytes[84..104])
    }

    /// Position of the sender's transaction before this one, if it stands in the open block.
    pub fn after(&self) -> Option<(u64, u32)> {
        let flush = u64_at(self.bytes, 104);
        (flush != 0).then(|| (flush, u32_at(self.bytes, 112)))
    }

    /// Where the declared set stands in its buffer.
    pub fn declared(&self) -> Range<usize> {
        let start = self.start + TX_HEADER_BYTES;
        start..start + DECLARED_BYTES * usize::from(u16::from_le_bytes([self.bytes[10], self.bytes[11]]))
    }

    pub fn raw_offset(&self) -> usize {
        u32_at(self.bytes, 12) as usize
    }

    pub fn raw(&self) -> &'a [u8] {
        &self.bytes[self.raw_offset()..]
    }

    /// The raw transaction was checked when it was decoded, so what does not parse here is a bug.
    pub fn fields(&self) -> RawFields {
        let raw = self.raw();
        let mut rest = if self.kind() == 0 { raw } else { &raw[1..] };
        rest = Header::decode_bytes(&mut rest, true).expect("decoded before");
        let before_value = match self.kind() {
            0 => 4,         // nonce, gasPrice, gasLimit, to
            1 => 5,         // chainId, nonce, gasPrice, gasLimit, to
            KIND_CALL => 4, // chainId, nonce, gas, to
            _ => 6,         // chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gasLimit, to
        };
        for _ in 0..before_value {
            Header::decode_bytes(&mut rest, false).expect("decoded before");
        }
        let value = U256::decode(&mut rest).expect("decoded before");
        let input = Header::decode_bytes(&mut rest, false).expect("decoded before");
        let start = input.as_ptr() as usize - raw.as_ptr() as usize;
        let access_list = match self.kind() {
            0 | KIND_CALL => AccessList::default(),
            _ => AccessList::decode(&mut rest).expect("decoded before"),
        };
        RawFields { value, input: start..start + input.len(), access_list }
    }
}

/// All transaction records of a packed buffer.
pub fn transactions(records: &[u8]) -> impl Iterator<Item = Transaction<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= records.len() {
            return None;
        }
        let start = at;
        let length = u32_at(records, at) as usize;
        assert!(length >= TX_HEADER_BYTES && length <= records.len() - at, "transaction record has a wrong length");
        at += length;
        Some(Transaction { bytes: &records[start..at], start })
    })
}

/// The nonce record of a run: u32 index, b20 sender, u64 nonce (of the first), b32 hash (of the last), u32 following.
pub struct NonceRecord<'a>(pub &'a [u8]);

impl NonceRecord<'_> {
    pub fn index(&self) -> u32 {
        u32_at(self.0, 0)
    }

    pub fn sender(&self) -> Address {
        Address::from_slice(&self.0[4..24])
    }

    pub fn nonce(&self) -> u64 {
        u64_at(self.0, 24)
    }

    pub fn hash(&self) -> B256 {
        B256::from_slice(&self.0[32..64])
    }

    /// How many transactions of the sender stand behind the first.
    pub fn following(&self) -> u32 {
        u32_at(self.0, 64)
    }
}

pub fn nonce_records(records: &[u8]) -> impl Iterator<Item = NonceRecord<'_>> {
    assert!(records.len().is_multiple_of(NONCE_BYTES), "nonce records are {NONCE_BYTES} bytes each");
    records.chunks_exact(NONCE_BYTES).map(NonceRecord)
}

/// What one transaction came to.
#[derive(Default)]
pub struct Outcome<'a> {
    pub index: u32,
    pub is_success: bool,
    pub reason: u8,
    pub created: bool,
    pub gas_used: u64,
    pub address: Address,
    pub output: Bytes,
    pub logs: &'a [Log],
}

pub fn put_result(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let start = out.len();
    let output = &outcome.output[..outcome.output.len().min(OUTPUT_BYTES_MAX)];
    out.put_u32(0); // the length, known at the end
    out.put_u32(outcome.index);
    out.put(&[outcome.is_success as u8, outcome.reason, outcome.created as u8, 0]);
    out.put_u32((RESULT_HEADER_BYTES + output.len()) as u32);
    out.put_u64(outcome.gas_used);
    out.put(outcome.address.as_slice());
    out.put_u32(outcome.logs.len() as u32);
    out.put_u64(0);
    out.put_u32(output.len() as u32);
    out.put_u32(0);
    out.put(output);
    for log in outcome.logs {
        out.put(log.address.as_slice());
        out.put_u8(log.data.topics().len() as u8);
        log.data.topics().iter().for_each(|topic| out.put(topic.as_slice()));
        out.put_u32(log.data.data.len() as u32);
        out.put(&log.data.data);
    }
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// One result record as a view, for the receipts of a block.
#[derive(Clone, Copy)]
pub struct ResultView<'a>(pub &'a [u8]);

impl<'a> ResultView<'a> {
    pub fn index(&self) -> u32 {
        u32_at(self.0, 4)
    }

    pub fn is_success(&self) -> bool {
        self.0[8] == 1
    }

    pub fn gas_used(&self) -> u64 {
        u64_at(self.0, 16)
    }

    pub fn logs(&self) -> impl Iterator<Item = LogView<'a>> + Clone + use<'a> {
        let mut rest = &self.0[u32_at(self.0, 12) as usize..];
        (0..u32_at(self.0, 44)).map(move |_| {
            let (address, behind) = rest.split_at(20);
            let (topics, behind) = behind[1..].split_at(32 * usize::from(behind[0]));
            let (data, behind) = behind[4..].split_at(u32_at(behind, 0) as usize);
            rest = behind;
            LogView { address, topics, data }
        })
    }
}

/// One log as views; topics stand behind each other.
#[derive(Clone, Copy)]
pub struct LogView<'a> {
    pub address: &'a [u8],
    pub topics: &'a [u8],
    pub data: &'a [u8],
}

pub fn results(records: &[u8]) -> impl Iterator<Item = ResultView<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= records.len() {
            return None;
        }
        let start = at;
        let length = u32_at(records, at) as usize;
        assert!(length >= RESULT_HEADER_BYTES && length <= records.len() - at, "result record has a wrong length");
        at += length;
        Some(ResultView(&records[start..at]))
    })
}
