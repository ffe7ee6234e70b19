//! All inputs of a decode at once, and what is told of each. What is hashed is hashed together (`keccak.rs`).

use crate::bytes::{Packed, Reader};
use crate::decode::{Limits, Refusal, Refused, Signed, Unrecovered, decode};
use crate::handler::SPEC;
use crate::keccak::hash_all;
use alloy_primitives::{Address, B256};
use revm::context_interface::cfg::GasParams;

/// A call's record has about three times the bytes that the call has in its batch.
const RECORD_GROWTH: usize = 3;
/// Bytes before the records, for their length.
pub const RECORDS_START: usize = 4;
/// `DECODE_NO_CALL` of engine.ts.
const NO_CALL: u32 = u32::MAX;

/// Decoded records and, for each input, what became of it.
#[derive(Default)]
pub struct Decoded {
    /// Behind RECORDS_START bytes.
    pub records: Vec<u8>,
    pub statuses: Vec<u8>,
    pub details: Vec<u8>,       // two f64, little-endian
    pub record_counts: Vec<u8>, // u32: 0 refused, 1 a single transaction, else the calls of a signed batch
    pub calls: Vec<u8>,         // u32: the call that a signed batch is refused for, or NO_CALL
}

impl Decoded {
    fn accept(&mut self, transaction: &Unrecovered<'_>, sender: Address, hash: B256) {
        let count = transaction.put(&mut self.records, sender, hash);
        self.note((0, 0.0, 0.0), count, NO_CALL);
    }

    fn refuse(&mut self, refused: &Refused) {
        self.note(refused.why.code_and_detail(), 0, refused.call.map_or(NO_CALL, |call| call as u32));
    }

    fn note(&mut self, (code, got, limit): (u8, f64, f64), count: u32, call: u32) {
        self.statuses.push(code);
        self.details.extend_from_slice(&got.to_le_bytes());
        self.details.extend_from_slice(&limit.to_le_bytes());
        self.record_counts.put_u32(count);
        self.calls.put_u32(call);
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

/// Room for all that is told of the inputs beside the records.
fn statuses_bytes(inputs: usize) -> usize {
    4 * 4 + inputs * (1 + 16 + 4 + 4)
}

/// Decodes all inputs; `recover` finds the senders of those that passed the other checks. What is hashed is hashed together.
pub fn decode_all(packed: &[u8], limits: &Limits, recover: impl FnOnce(&[&Signed<'_>]) -> Vec<Option<Address>>) -> Decoded {
    let gas_params = GasParams::new_spec(SPEC);
    let checked: Vec<_> = raws(packed).map(|raw| decode(raw, limits, &gas_params)).collect();
    let passed: Vec<&Unrecovered<'_>> = checked.iter().flatten().collect();
    let signed: Vec<&Signed<'_>> = passed.iter().map(|transaction| &transaction.signed).collect();
    let senders = recover(&signed);
    let recovered: Vec<&[u8]> =
        passed.iter().zip(&senders).filter(|(_, sender)| sender.is_some()).map(|(one, _)| one.raw).collect();
    let mut hashes = hash_all(&recovered).into_iter();
    let mut senders = senders.into_iter();
    let mut decoded = Decoded::default();
    let bytes: usize = recovered.iter().map(|raw| raw.len()).sum();
    decoded.records.reserve(RECORDS_START + RECORD_GROWTH * bytes + statuses_bytes(checked.len()));
    decoded.records.resize(RECORDS_START, 0);
    for input in &checked {
        match input {
            Err(refused) => decoded.refuse(refused),
            Ok(transaction) => match senders.next().flatten() {
                None => decoded.refuse(&Refusal::Signature.into()),
                Some(sender) => decoded.accept(transaction, sender, hashes.next().expect("one for each that is recovered")),
            },
        }
    }
    decoded
}
