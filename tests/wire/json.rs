//! The scanner for bare `NaN` and `Infinity` against what a whole parser would make of the text.

use std::borrow::Cow;

use byteleap::wire::json::{nulled, parse, text};
use proptest::prelude::*;
use serde_json::Value;

/// A JSON value together with how a writer of `NaN` spells it: each null may be a bare word.
fn spelled() -> impl Strategy<Value = (Value, String)> {
    let word = prop_oneof![Just("null"), Just("NaN"), Just("Infinity"), Just("-Infinity")];
    let string = prop_oneof!["[a-zA-Z\\\\\"\n -]{0,8}", "(NaN|-Infinity|Infinity|\\\\)\"?"];
    let leaf = prop_oneof![
        word.prop_map(|word| (Value::Null, word.to_owned())),
        any::<i32>().prop_map(|number| (Value::from(number), number.to_string())),
        string.clone().prop_map(|text| (Value::from(text.clone()), Value::from(text).to_string())),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| {
                let (values, texts): (Vec<Value>, Vec<String>) = items.into_iter().unzip();
                (Value::from(values), format!("[{}]", texts.join(", ")))
            }),
            prop::collection::btree_map(string.clone(), inner, 0..5).prop_map(|items| {
                let texts: Vec<String> =
                    items.iter().map(|(key, (_, text))| format!("{}:{text}", Value::from(key.as_str()))).collect();
                let values = items.into_iter().map(|(key, (value, _))| (key, value)).collect();
                (Value::Object(values), format!("{{{}}}", texts.join(" ,")))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn bare_words_are_nulls_and_strings_stay((value, text) in spelled()) {
        prop_assert_eq!(parse::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn what_is_written_has_no_bare_words(numbers in prop::collection::vec(any::<f64>(), 0..20)) {
        let text = text(&numbers);
        prop_assert!(matches!(nulled(&text), Cow::Borrowed(_)));
        prop_assert!(serde_json::from_str::<Vec<Option<f64>>>(&text).is_ok());
    }

    #[test]
    fn the_scanner_takes_any_text(text in "[\"\\\\NaInfity-é]{0,40}") {
        let once = nulled(&text).into_owned();
        prop_assert_eq!(nulled(&once).into_owned(), once.clone());
        if !text.contains("NaN") && !text.contains("Infinity") {
            prop_assert_eq!(once, text);
        }
    }
}
