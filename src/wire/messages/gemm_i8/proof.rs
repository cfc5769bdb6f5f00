//! A device's proof: the tops of all rounds and the chunks it was asked to open. Read strictly, checked by `compute`.

use std::{fmt, marker::PhantomData};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
};

use super::{CHUNK_VALUES, Sample, shortened};
use crate::wire::{json::Raw, limits};

/// Letters of one chunk's values: 1,024 bytes in base64.
const VALUES_LETTERS: usize = 1368;

/// What one device proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GemmProof {
    pub uuid: String,
    /// The top of each round's tree.
    pub tops: Vec<[u8; 32]>,
    /// In the order of the samples.
    pub openings: Vec<Opening>,
}

/// One chunk of a row, and its way to the round's top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    pub round: u32,
    pub row: u32,
    pub chunk: u32,
    pub values: Box<[i32; CHUNK_VALUES]>,
    /// BLAKE3 chaining values up to the row's hash, lowest first.
    pub chunk_path: Vec<[u8; 32]>,
    /// SHA-256 nodes up to the round's top, lowest first.
    pub row_path: Vec<[u8; 32]>,
}

impl Opening {
    /// What it says that it opens.
    pub fn sample(&self) -> Sample {
        Sample { round: self.round, row: self.row, chunk: self.chunk }
    }
}

/// Why a text is no proof of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GemmProofFault {
    #[error("no gemm_i8 proof: {0}")]
    Shape(String),
    #[error("{field} has entries, where gemm_i8 has none")]
    NotEmpty { field: &'static str },
    #[error("{got} tops, where no challenge has more than {}", limits::GEMM_ROUNDS)]
    Tops { got: usize },
    #[error("top {round} is not 64 lower-case hex digits")]
    Top { round: usize },
    #[error("{got} openings, where nobody is asked for more than {}", limits::GEMM_SAMPLES)]
    Openings { got: usize },
    #[error("opening {at}: {why}")]
    Opening { at: usize, why: OpeningFault },
}

/// Why a text is no opening.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningFault {
    #[error("{0}")]
    Shape(String),
    #[error("values has {letters} letters, where 256 int32 have 1368 in base64")]
    ValuesLength { letters: usize },
    #[error("values is not canonical base64")]
    Values,
    #[error("{field} has {got} hashes, where none has more than {limit}")]
    Path { field: &'static str, got: usize, limit: usize },
    #[error("{field}: hash {level} is not 64 lower-case hex digits")]
    Hash { field: &'static str, level: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofText {
    uuid: String,
    tops: Few<String, { limits::GEMM_ROUNDS as usize }>,
    openings: Few<Raw, { limits::GEMM_SAMPLES }>,
    row_hashes: Vec<IgnoredAny>,
    merkle_proofs: Vec<IgnoredAny>,
    coordinate_values: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningText {
    round: u32,
    row: u32,
    chunk: u32,
    values: String,
    chunk_path: Few<String, { limits::GEMM_CHUNK_PATH }>,
    row_path: Few<String, { limits::GEMM_ROW_PATH }>,
}

/// A list of which at most `MOST` entries are kept; the others are counted alone, whatever they are.
struct Few<T, const MOST: usize> {
    kept: Vec<T>,
    count: usize,
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Few<T, MOST>, D::Error> {
        struct Entries<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<T, MOST> {
            type Value = Few<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T, MOST>, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < MOST {
                    match list.next_element()? {
                        Some(entry) => kept.push(entry),
                        None => return Ok(Few { count: kept.len(), kept }),
                    }
                }
                let mut count = kept.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Few { kept, count })
            }
        }

        from.deserialize_seq(Entries(PhantomData))
    }
}

impl GemmProof {
    pub fn read(raw: &Raw) -> Result<GemmProof, GemmProofFault> {
        let text: ProofText = object(raw).map_err(GemmProofFault::Shape)?;
        let unused = [
            ("row_hashes", text.row_hashes.len()),
            ("merkle_proofs", text.merkle_proofs.len()),
            ("coordinate_values", text.coordinate_values.len()),
        ];
        if let Some((field, _)) = unused.into_iter().find(|(_, entries)| *entries > 0) {
            return Err(GemmProofFault::NotEmpty { field });
        }
        if text.tops.count > text.tops.kept.len() {
            return Err(GemmProofFault::Tops { got: text.tops.count });
        }
        if text.openings.count > text.openings.kept.len() {
            return Err(GemmProofFault::Openings { got: text.openings.count });
        }
        let tops = hashes(&text.tops.kept).map_err(|round| GemmProofFault::Top { round })?;
        let read = |(at, raw)| Opening::read(raw).map_err(|why| GemmProofFault::Opening { at, why });
        let openings = text.openings.kept.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(GemmProof { uuid: text.uuid, tops, openings })
    }
}

impl Opening {
    fn read(raw: &Raw) -> Result<Opening, OpeningFault> {
        let text: OpeningText = object(raw).map_err(OpeningFault::Shape)?;
        let OpeningText { round, row, chunk, values, chunk_path, row_path } = text;
        let values = chunk_values(&values)?;
        let chunk_path = path("chunk_path", &chunk_path)?;
        let row_path = path("row_path", &row_path)?;
        Ok(Opening { round, row, chunk, values, chunk_path, row_path })
    }
}

/// An object and nothing else: as a list, serde would take the fields in order.
fn object<'de, T: Deserialize<'de>>(raw: &'de Raw) -> Result<T, String> {
    match raw.as_str().starts_with('{') {
        true => serde_json::from_str(raw.as_str()).map_err(|why| shortened(&why)),
        false => Err("no object".into()),
    }
}

fn chunk_values(text: &str) -> Result<Box<[i32; CHUNK_VALUES]>, OpeningFault> {
    if text.len() != VALUES_LETTERS {
        return Err(OpeningFault::ValuesLength { letters: text.len() });
    }
    let bytes = STANDARD.decode(text).map_err(|_| OpeningFault::Values)?;
    let (words, rest) = bytes.as_chunks::<4>();
    if words.len() != CHUNK_VALUES || !rest.is_empty() {
        return Err(OpeningFault::Values);
    }
    let mut values = Box::new([0; CHUNK_VALUES]);
    for (value, word) in values.iter_mut().zip(words) {
        *value = i32::from_le_bytes(*word);
    }
    Ok(values)
}

fn path<const MOST: usize>(field: &'static str, texts: &Few<String, MOST>) -> Result<Vec<[u8; 32]>, OpeningFault> {
    if texts.count > texts.kept.len() {
        return Err(OpeningFault::Path { field, got: texts.count, limit: MOST });
    }
    hashes(&texts.kept).map_err(|level| OpeningFault::Hash { field, level })
}

/// The hashes, or the index of the first that is none.
fn hashes(texts: &[String]) -> Result<Vec<[u8; 32]>, usize> {
    texts.iter().enumerate().map(|(at, text)| hash(text).ok_or(at)).collect()
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    hex::decode_to_slice(text, &mut hash).ok().filter(|()| lower)?;
    Some(hash)
}

impl<'de> Deserialize<'de> for GemmProof {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<GemmProof, D::Error> {
        GemmProof::read(&Raw::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Serialize for GemmProof {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Text<'a> {
            uuid: &'a str,
            tops: Vec<String>,
            openings: &'a [Opening],
            row_hashes: [(); 0],
            merkle_proofs: [(); 0],
            coordinate_values: [(); 0],
        }
        let (tops, openings) = (hex_texts(&self.tops), self.openings.as_slice());
        Text { uuid: &self.uuid, tops, openings, row_hashes: [], merkle_proofs: [], coordinate_values: [] }
            .serialize(to)
    }
}

impl Serialize for Opening {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Text {
            round: u32,
            row: u32,
            chunk: u32,
            values: String,
            chunk_path: Vec<String>,
            row_path: Vec<String>,
        }
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (chunk_path, row_path) = (hex_texts(&self.chunk_path), hex_texts(&self.row_path));
        let Opening { round, row, chunk, .. } = *self;
        Text { round, row, chunk, values: STANDARD.encode(bytes), chunk_path, row_path }.serialize(to)
    }
}

fn hex_texts(hashes: &[[u8; 32]]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn proof() -> GemmProof {
        let mut values = Box::new([0; CHUNK_VALUES]);
        values.iter_mut().enumerate().for_each(|(at, value)| *value = at as i32 * -7);
        let opening = Opening { round: 1, row: 2, chunk: 1, values, chunk_path: vec![[0xab; 32]], row_path: vec![] };
        GemmProof { uuid: "cpu".into(), tops: vec![[0xcd; 32]; 2], openings: vec![opening] }
    }

    fn read(text: &str) -> Result<GemmProof, GemmProofFault> {
        GemmProof::read(&json::parse(text).unwrap())
    }

    fn changed(from: &str, to: &str) -> Result<GemmProof, GemmProofFault> {
        let text = json::text(&proof());
        let other = text.replacen(from, to, 1);
        assert_ne!(text, other, "{from} stands in the proof");
        read(&other)
    }

    #[test]
    fn a_proof_is_read_as_it_was_written() {
        let text = json::text(&proof());
        assert_eq!(read(&text).unwrap(), proof());
        assert_eq!(json::parse::<Vec<GemmProof>>(&format!("[{text}]")).unwrap(), [proof()]);
        assert!(text.starts_with(r#"{"uuid":"cpu","tops":["cdcd"#), "{text}");
        assert!(text.ends_with(r#""row_path":[]}],"row_hashes":[],"merkle_proofs":[],"coordinate_values":[]}"#));
    }

    #[test]
    fn entries_of_other_challenges_are_refused_by_name() {
        for field in ["row_hashes", "merkle_proofs", "coordinate_values"] {
            let fault = changed(&format!("\"{field}\":[]"), &format!("\"{field}\":[1]"));
            assert_eq!(fault, Err(GemmProofFault::NotEmpty { field }));
        }
    }

    #[test]
    fn a_missing_or_further_field_is_another_shape() {
        for (from, to) in [
            (",\"row_hashes\":[]", ""),
            (",\"row_hashes\":[]", ",\"row_hashes\":[],\"note\":1"),
            (",\"row_hashes\":[]", ",\"row_hashes\":[],\"row_hashes\":[]"),
            ("\"uuid\":\"cpu\"", "\"uuid\":7"),
            ("\"uuid\":\"cpu\",", ""),
        ] {
            assert!(matches!(changed(from, to), Err(GemmProofFault::Shape(_))), "{from} → {to}");
        }
        assert_eq!(read("[\"cpu\",[],[],[],[],[]]"), Err(GemmProofFault::Shape("no object".into())));
    }

    #[test]
    fn an_openings_fault_names_its_place() {
        let shape = |from, to| match changed(from, to) {
            Err(GemmProofFault::Opening { at: 0, why: OpeningFault::Shape(_) }) => {}
            other => panic!("{from} → {to}: {other:?}"),
        };
        shape("\"round\":1,", "");
        shape("\"round\":1,", "\"round\":1.0,");
        shape("\"round\":1,", "\"round\":1,\"column\":0,");
        shape("\"row\":2", "\"row\":-2");
        let opening = |why| Err(GemmProofFault::Opening { at: 0, why });
        let text = json::text(&proof());
        let start = text.find("[{\"round\"").unwrap();
        let end = text.find("}],").unwrap();
        let listed = format!("{}[[1,2,1,\"\",[],[]]],{}", &text[..start], &text[end + 3..]);
        assert_eq!(read(&listed), opening(OpeningFault::Shape("no object".into())));
    }

    #[test]
    fn values_are_256_in_canonical_base64() {
        let opening = |why| Err(GemmProofFault::Opening { at: 0, why });
        let length = |letters| opening(OpeningFault::ValuesLength { letters });
        assert_eq!(changed("\"values\":\"", "\"values\":\"AAAA"), length(1372));
        assert_eq!(changed("AAAAAPn", ""), length(1361));
        assert_eq!(changed("==\",\"chunk_path\"", "\",\"chunk_path\""), length(1366));
        assert_eq!(changed("AAAAAPn///", "AAAAAPn__/"), opening(OpeningFault::Values));
        assert_eq!(changed("AAAAAPn///", "AAAA APn//"), opening(OpeningFault::Values));
        let text = json::text(&proof());
        let last = text.find("==\",\"chunk_path\"").unwrap();
        let twin = match &text[last - 1..last] {
            "w" => "x",
            "g" => "h",
            "Q" => "R",
            _ => "B",
        };
        let other = format!("{}{twin}{}", &text[..last - 1], &text[last..]);
        assert_eq!(read(&other), opening(OpeningFault::Values), "bits behind the last byte");
    }

    #[test]
    fn hashes_are_64_lower_case_digits_and_not_too_many() {
        let digits = "ab".repeat(32);
        let hash = |why| Err(GemmProofFault::Opening { at: 0, why });
        for bad in [digits.to_uppercase(), "ab".repeat(31), "ab".repeat(33), "zz".repeat(32), String::new()] {
            let why = OpeningFault::Hash { field: "chunk_path", level: 0 };
            assert_eq!(changed(&digits, &bad), hash(why), "{bad}");
        }
        assert_eq!(changed(&"cd".repeat(32), &"CD".repeat(32)), Err(GemmProofFault::Top { round: 0 }));
        let rows = format!("\"row_path\":[{}]", vec![format!("\"{digits}\""); 17].join(","));
        let why = OpeningFault::Path { field: "row_path", got: 17, limit: 16 };
        assert_eq!(changed("\"row_path\":[]", &rows), hash(why));
        let many = GemmProof { tops: vec![[0; 32]; 1025], ..proof() };
        assert_eq!(read(&json::text(&many)), Err(GemmProofFault::Tops { got: 1025 }));
        let many = GemmProof { openings: vec![proof().openings[0].clone(); 1025], ..proof() };
        assert_eq!(read(&json::text(&many)), Err(GemmProofFault::Openings { got: 1025 }));
    }

    /// Two letters an entry would be kept as fifty bytes.
    #[test]
    fn entries_over_a_limit_are_counted_and_not_kept() {
        let zeros = |count| vec!["0"; count].join(",");
        let full = vec![format!("\"{}\"", "cd".repeat(32)); 1024].join(",");
        let top = format!("\"{}\"", "cd".repeat(32));
        let tops = changed(&format!("{top},{top}"), &format!("{full},{}", zeros(9000)));
        assert_eq!(tops, Err(GemmProofFault::Tops { got: 1024 + 9000 }));
        let openings = changed("\"openings\":[", &format!("\"openings\":[{},", zeros(9000)));
        assert_eq!(openings, Err(GemmProofFault::Openings { got: 9001 }));
        let siblings = vec![format!("\"{}\"", "ab".repeat(32)); 8].join(",");
        let path = changed("\"chunk_path\":[", &format!("\"chunk_path\":[{siblings},{},", zeros(9000)));
        let why = OpeningFault::Path { field: "chunk_path", got: 8 + 9000 + 1, limit: 8 };
        assert_eq!(path, Err(GemmProofFault::Opening { at: 0, why }));
        let few: Few<Raw, 3> = json::parse(&format!("[{}]", zeros(9000))).unwrap();
        assert_eq!((few.kept.len(), few.count), (3, 9000));
    }
}
