/**
 * Numbers that follow from a seed and a place: the same for whoever asks, in whatever order. Generator and check draw the same
 * without telling each other, and a call can be made again by its number alone.
 */

const TWO_32 = 4_294_967_296;

/** 32 mixed bits of three numbers (the finaliser of MurmurHash3, chained). */
export function bits(seed: number, place: number, what: number): number {
  let mixed = (seed ^ Math.imul(place, 0x9e3779b1) ^ Math.imul(what, 0x85ebca77)) >>> 0;
  for (let round = 0; round < 2; round++) {
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    mixed = (mixed ^ (mixed >>> 16) ^ what) >>> 0;
  }
  return mixed;
}

/** A whole number from 0 to `below` - 1. */
export const drawBelow = (below: number, seed: number, place: number, what: number): number =>
  Math.floor((bits(seed, place, what) / TWO_32) * below);

/** The seed as a number, for a seed given as text. */
export function seedNumber(text: string): number {
  let mixed = 0x811c9dc5;
  for (const letter of text) mixed = Math.imul(mixed ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return mixed >>> 0;
}
