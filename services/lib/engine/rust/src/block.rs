//! A block's Ethereum header, with real transactions and receipts roots and bloom.
//!
//! Where Ethereum has the state root stands the digest (design, section 6). Fields of withdrawals, blobs and requests are those
//! of an empty block: EIP-4895, EIP-4844, EIP-4788, EIP-7685.

use crate::bytes::{Packed, Reader};
use crate::record::{self, ResultView, Transaction};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, constants::EMPTY_WITHDRAWALS};
use alloy_eips::{eip2718::Encodable2718, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_trie::root::ordered_trie_root_with_encoder;

const EXTRA_DATA: &[u8] = b"meridian";

/// Input: u64 number, u64 timestamp, b32 prevrandao, u64 gasLimit, b32 parentHash, b32 digest.
/// Output: b32 hash, b32 transactionsRoot, b32 receiptsRoot, b256 bloom, u64 gasUsed, header.
pub fn build(input: &[u8], transactions: &[u8], results: &[u8]) -> Vec<u8> {
    let transactions: Vec<Transaction<'_>> = record::transactions(transactions).collect();
    let results: Vec<ResultView<'_>> = record::results(results).collect();
    assert!(transactions.len() == results.len(), "every transaction has one result");
    let transactions_root = ordered_trie_root_with_encoder(&transactions, |transaction, out| out.put(transaction.raw()));
    let (receipts, gas_used) = receipts(&transactions, &results);
    let receipts_root = ordered_trie_root_with_encoder(&receipts, |receipt, out| receipt.encode_2718(out));
    let logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
    let header = header(input, transactions_root, receipts_root, logs_bloom, gas_used);
    let mut out = Vec::new();
    out.put(header.hash_slow().as_slice());
    out.put(transactions_root.as_slice());
    out.put(receipts_root.as_slice());
    out.put(logs_bloom.as_slice());
    out.put_u64(gas_used);
    out.put(&alloy_rlp::encode(&header));
    out
}

fn receipts(transactions: &[Transaction<'_>], results: &[ResultView<'_>]) -> (Vec<ReceiptEnvelope>, u64) {
    let mut cumulative_gas_used = 0;
    let mut receipts = Vec::with_capacity(transactions.len());
    for (transaction, result) in transactions.iter().zip(results) {
        assert!(transaction.index() == result.index(), "transactions and results stand in the same order");
        cumulative_gas_used += result.gas_used();
        let receipt = Receipt { status: result.is_success().into(), cumulative_gas_used, logs: result.logs() };
        let receipt: ReceiptWithBloom = receipt.with_bloom();
        receipts.push(match transaction.kind() {
            0 => ReceiptEnvelope::Legacy(receipt),
            1 => ReceiptEnvelope::Eip2930(receipt),
            2 => ReceiptEnvelope::Eip1559(receipt),
            other => panic!("transactions of type {other} are refused when they are decoded"),
        });
    }
    (receipts, cumulative_gas_used)
}

fn header(input: &[u8], transactions_root: B256, receipts_root: B256, logs_bloom: Bloom, gas_used: u64) -> Header {
    let mut reader = Reader::new(input);
    let (number, timestamp, mix_hash, gas_limit) = (reader.u64(), reader.u64(), reader.b256(), reader.u64());
    Header {
        parent_hash: reader.b256(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: Address::ZERO,
        state_root: reader.b256(),
        transactions_root,
        receipts_root,
        logs_bloom,
        difficulty: U256::ZERO,
        number,
        gas_limit,
        gas_used,
        timestamp,
        extra_data: Bytes::from_static(EXTRA_DATA),
        mix_hash,
        nonce: B64::ZERO,
        base_fee_per_gas: Some(0),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
