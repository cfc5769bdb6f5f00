//! Questions to the person at the terminal. Without one nothing is asked, and nothing is taken for a yes.

use std::io::{self, BufRead, IsTerminal, Write};

use byteleap::units::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Whether the answer to `question` is yes, spelled out.
pub fn confirm(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(io::Error::other("nobody is at the terminal to say yes"));
    }
    let answer = ask(&format!("{question} [yes/no] "))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

/// A line that is typed without being seen.
pub fn password(prompt: &str) -> io::Result<Secret> {
    if !io::stdin().is_terminal() {
        return Err(io::Error::other("nobody is at the terminal to type the password"));
    }
    let blind = Blind::new()?;
    let line = ask(prompt);
    drop(blind);
    // the end of the line was typed unseen as well
    writeln!(io::stderr())?;
    Ok(Secret::new(line?.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Standard output is for the answer.
fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut out = io::stderr();
    write!(out, "{prompt}")?;
    out.flush()?;
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Blind(Termios);

impl Blind {
    fn new() -> io::Result<Blind> {
        let before = tcgetattr(io::stdin())?;
        let mut blind = before.clone();
        blind.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &blind)?;
        Ok(Blind(before))
    }
}

impl Drop for Blind {
    fn drop(&mut self) {
        // a terminal that is gone needs no setting
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
