//! Messages as bytes. Adds what belongs to the connection (`Content-Length`, `Date`, `Connection`, `Host`)
//! and drops what would break the framing: a value can end no line.

use crate::{
    units::{Wall, civil},
    wire::http::{Headers, Request, Response},
};

/// Appends a whole request; the connection closes after its answer.
pub fn encode_request(request: &Request, host: &str, out: &mut Vec<u8>) {
    let mut headers = Headers::new();
    if request.headers.get("host").is_none() {
        headers.push("host", host);
    }
    theirs(&request.headers).for_each(|(name, value)| headers.push(name, value));
    headers.push("content-length", request.body.len().to_string());
    headers.push("connection", "close");
    encode_request_head(&request.method, &request.target, &headers, out);
    out.extend_from_slice(&request.body);
}

/// Appends a request line and exactly those fields.
pub fn encode_request_head(method: &str, target: &str, headers: &Headers, out: &mut Vec<u8>) {
    push_text(method, out);
    out.push(b' ');
    push_text(target, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    headers.iter().for_each(|(name, value)| push_field(name, value, out));
    out.extend_from_slice(b"\r\n");
}

/// Appends a whole response. `with_body` is false for the answer to a HEAD.
pub fn encode_response(response: &Response, keep_alive: bool, with_body: bool, now: Wall, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", response.status, phrase(response.status)).as_bytes());
    theirs(&response.headers).for_each(|(name, value)| push_field(name, value, out));
    push_field("content-length", &response.body.len().to_string(), out);
    push_field("date", &http_date(now), out);
    push_field("connection", if keep_alive { "keep-alive" } else { "close" }, out);
    out.extend_from_slice(b"\r\n");
    if with_body {
        out.extend_from_slice(&response.body);
    }
}

/// The fields that are not the connection's own.
fn theirs(headers: &Headers) -> impl Iterator<Item = (&str, &str)> {
    const OURS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];
    headers.iter().filter(|(name, _)| !OURS.contains(name))
}

fn push_field(name: &str, value: &str, out: &mut Vec<u8>) {
    let is_name_byte = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    out.extend(name.bytes().filter(is_name_byte));
    out.extend_from_slice(b": ");
    push_text(value, out);
    out.extend_from_slice(b"\r\n");
}

/// As Latin-1, the reverse of how values are read; control characters are left out.
fn push_text(text: &str, out: &mut Vec<u8>) {
    let visible = text.chars().filter(|letter| !letter.is_control() || *letter == '\t');
    out.extend(visible.map(|letter| u8::try_from(letter).unwrap_or(b'?')));
}

/// The reason phrase of the statuses that we send.
fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn http_date(now: Wall) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (now.as_secs() / 86_400, now.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS.get((days % 7) as usize).unwrap_or(&"Thu");
    let month = MONTHS.get(month as usize - 1).unwrap_or(&"Jan");
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::http_frame::{Item, RequestReader, ResponseReader};

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        fields.iter().for_each(|(name, value)| headers.push(name, *value));
        headers
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(http_date(Wall::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(Wall::from_secs(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(Wall::from_secs(1_709_164_800)), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(http_date(Wall::from_secs(1_735_689_599)), "Tue, 31 Dec 2024 23:59:59 GMT");
    }

    #[test]
    fn what_we_write_we_read() {
        let request = Request {
            method: "POST".into(),
            target: "/TaskSynapse".into(),
            headers: headers(&[("name", "TaskSynapse"), ("x", "é")]),
            body: b"{}".to_vec(),
        };
        let mut bytes = vec![];
        encode_request(&request, "1.2.3.4:9091", &mut bytes);
        let mut reader = RequestReader::new(1024, |_| 10);
        reader.push(&bytes);
        let Ok(Some(Item::Request(read))) = reader.read() else { panic!() };
        assert_eq!((read.request.target, read.request.body), (request.target, request.body));
        assert_eq!(read.request.headers.get("host"), Some("1.2.3.4:9091"));
        assert_eq!(read.request.headers.get("x"), Some("é"));
        assert!(!read.keep_alive);
    }

    #[test]
    fn no_value_ends_a_line() {
        let response = Response {
            status: 200,
            headers: headers(&[("a", "b\r\nEvil: yes"), ("content-length", "999")]),
            body: b"hi".to_vec(),
        };
        let mut bytes = vec![];
        encode_response(&response, true, true, Wall(0), &mut bytes);
        let mut reader = ResponseReader::new(1024, 10);
        reader.push(&bytes);
        let read = reader.read().unwrap().unwrap();
        assert_eq!(read.headers.get("evil"), None);
        assert_eq!((read.body, read.headers.get("content-length")), (b"hi".to_vec(), Some("2")));
    }
}
