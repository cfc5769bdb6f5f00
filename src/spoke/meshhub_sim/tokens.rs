//! Which access tokens the hub takes.

use subtle::ConstantTimeEq;

use crate::units::Secret;

/// A file of tokens that names none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token in it: one a line, # begins a comment")]
pub struct TokensError;

#[derive(Clone, Debug)]
pub enum Tokens {
    /// Whatever a validator brings.
    Any,
    These(Vec<Secret>),
}

impl Tokens {
    /// One a line; empty lines and those that begin with # say nothing.
    pub fn read(text: &str) -> Result<Tokens, TokensError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let tokens: Vec<Secret> = lines.map(|line| Secret::new(line.to_owned())).collect();
        if tokens.is_empty() { Err(TokensError) } else { Ok(Tokens::These(tokens)) }
    }

    pub(super) fn take(&self, offered: &Secret) -> bool {
        let same = |token: &Secret| bool::from(token.reveal().as_bytes().ct_eq(offered.reveal().as_bytes()));
        match self {
            Tokens::Any => true,
            // all are looked at, whichever fits
            Tokens::These(tokens) => tokens.iter().fold(false, |fits, token| fits | same(token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_token_a_line() {
        let tokens = Tokens::read("# of the tests\n\n one \ntwo\n").unwrap();
        let taken = ["one", "two", "three", "", "# of the tests"].map(|token| tokens.take(&Secret::new(token.into())));
        assert_eq!(taken, [true, true, false, false, false]);
        assert_eq!(Tokens::read("\n#\n").unwrap_err(), TokensError);
        assert!(Tokens::Any.take(&Secret::new(String::new())));
    }
}
