/** Reads packed cells (layout: core cells.ts) into the replay's state. */
import { Account, Address, hexToBytes } from "@ethereumjs/util";
import {
  ACCOUNT_CELL_BYTES,
  CELL,
  CODE_CELL_HEADER_BYTES,
  IoError,
  NONCE_CELL_BYTES,
  SLOT_CELL_BYTES,
  hexOf,
  readU32,
  readU64,
} from "@meridian/core";
import type { ReplayState } from "./state.ts";

/** @throws IoError CELLS if the buffer is not packed cells: what was published cannot be read at all */
export async function importCells(state: ReplayState, cells: Uint8Array): Promise<void> {
  for (let at = 0; at < cells.length;) {
    const address = new Address(cells.slice(at + 1, at + 21));
    switch (cells[at]) {
      case CELL.account: {
        const account = (await state.getAccount(address)) ?? new Account();
        account.balance = BigInt(`0x${hexOf(cells, at + 21, at + 53)}`);
        account.codeHash = cells.slice(at + 53, at + 85);
        await state.putAccount(address, account);
        at += ACCOUNT_CELL_BYTES;
        break;
      }
      case CELL.nonce:
        state.setNonce(address.toString(), BigInt(readU64(cells, at + 21)));
        at += NONCE_CELL_BYTES;
        break;
      case CELL.slot:
        await state.putStorage(address, cells.slice(at + 21, at + 53), cells.slice(at + 53, at + 85));
        at += SLOT_CELL_BYTES;
        break;
      case CELL.code: {
        const bytes = readU32(cells, at + 21);
        await state.putCode(address, cells.slice(at + CODE_CELL_HEADER_BYTES, at + CODE_CELL_HEADER_BYTES + bytes));
        at += CODE_CELL_HEADER_BYTES + bytes;
        break;
      }
      default:
        throw new IoError({ code: "CELLS", text: `unknown kind ${String(cells[at])} at byte ${at} of ${cells.length}` }, "never");
    }
  }
  state.clearCaches();
}

/** 20 bytes of a 0x address. */
export const addressBytes = (address: string): Uint8Array => hexToBytes(address as `0x${string}`);
