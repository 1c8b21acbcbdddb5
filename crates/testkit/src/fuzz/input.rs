//! How inputs are made.

use fastrand::Rng;

/// The bends of one input at most.
const BENDS: usize = 6;
/// The words of an input that is made of words alone.
const WORDS: usize = 24;
/// No input is longer; some come near.
const LONGEST: usize = 16 * 1024;
/// Bytes that mean something in many languages, or in none.
const ODD: &[u8] = b"\0\x01\x1b\x7f\x80\xc3\xff\n\r\t \\\"'#;,.:=!*?[]{}()%~@/-+0";

/// What inputs are made of.
#[derive(Debug, Default)]
pub(super) struct Kitchen {
    pub(super) inputs: Vec<Vec<u8>>,
    pub(super) words: Vec<Vec<u8>>,
}

impl Kitchen {
    /// The input of a seed.
    pub(super) fn cook(&self, seed: u64) -> Vec<u8> {
        let dice = &mut Rng::with_seed(seed);
        let mut input = match dice.u8(0..16) {
            0 => (0..dice.usize(..256)).map(|_| dice.u8(..)).collect(),
            1..4 => (0..dice.usize(..WORDS)).flat_map(|_| self.word(dice).to_vec()).collect(),
            _ => self.input(dice).to_vec(),
        };
        for _ in 0..dice.usize(..=BENDS) {
            self.bend(dice, &mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn bend(&self, dice: &mut Rng, input: &mut Vec<u8>) {
        let at = dice.usize(..=input.len());
        let end = dice.usize(at..=input.len());
        match dice.u8(0..32) {
            0..4 => insert(input, at, &[ODD[dice.usize(..ODD.len())]]),
            4..12 => insert(input, at, self.word(dice)),
            12..15 => change(input, at, |byte| byte ^ (1 << dice.u8(..8))),
            15..18 => change(input, at, |_| ODD[dice.usize(..ODD.len())]),
            18..21 => drop(input.drain(at..end)),
            21..24 => {
                let part = input[at..end].to_vec();
                insert(input, at, &part);
            }
            24 => input.truncate(at),
            25..31 => {
                let other = self.input(dice);
                input.truncate(at);
                input.extend_from_slice(&other[dice.usize(..=other.len())..]);
            }
            _ => {
                let part =
                    if at < end { input[at..end].to_vec() } else { self.word(dice).to_vec() };
                let times = dice.usize(..=LONGEST) / part.len().max(1);
                insert(input, at, &part.repeat(times));
            }
        }
    }

    fn input(&self, dice: &mut Rng) -> &[u8] {
        dice.choice(&self.inputs).map_or(&[], Vec::as_slice)
    }

    fn word(&self, dice: &mut Rng) -> &[u8] {
        dice.choice(&self.words).map_or(&[], Vec::as_slice)
    }
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}

fn change(input: &mut [u8], at: usize, to: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = to(*byte);
    }
}
