//! Fuzzing the bodies of requests: each is answered, none with a failure of the server's own, and the
//! lists stay readable.

use fleet_testkit::Fuzz;
use tokio::runtime::Builder;

use crate::harness::Server;

/// Bodies for one server, with a zero byte between two; the first byte of each chooses the request.
const BODIES: [&str; 8] = [
    "a{\"desiredState\":\"launched\",\"options\":[{\"section\":\"Service\",\"name\":\"ExecStart\",\"value\":\"/bin/a\"}]}\0\
     a{\"desiredState\":\"loaded\"}\0a{\"desiredState\":\"inactive\",\"name\":\"a.service\"}",
    "b{\"name\":\"b@1.service\",\"desiredState\":\"loaded\",\"options\":[{\"section\":\"X-Fleet\",\
     \"name\":\"MachineMetadata\",\"value\":\"a=b\"}]}",
    "c{\"options\":[{\"section\":\"Timer\",\"name\":\"OnCalendar\",\"value\":\"daily\"}],\"desiredState\":\"inactive\"}",
    "d[{\"op\":\"add\",\"path\":\"/XXX/metadata/region\",\"value\":\"eu\"}]\0\
     d[{\"op\":\"remove\",\"path\":\"/XXX/metadata/region\"}]",
    "d[{\"op\":\"replace\",\"path\":\"/XXX/metadata/a~1b~0c\",\"value\":\"\"}]",
    "a{}",
    "a{\"desiredState\":\"launched\",\"options\":[]}",
    "a[\0b\"\"\0cnull\0d1",
];
const WORDS: [&str; 36] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "1e999",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\\n",
    "\0",
    "a",
    "d",
    "\"desiredState\":",
    "\"launched\"",
    "\"options\":",
    "\"name\":",
    "\"section\":",
    "\"value\":",
    "\"X-Fleet\"",
    "\"Global\"",
    "\"Conflicts\"",
    "\"*\"",
    "\"op\":",
    "\"path\":",
    "\"/XXX/metadata/\"",
    "\"add\"",
    "\"unheardOf\":{}",
    "é",
    "\u{feff}",
    "%i",
    "\\",
];

const REQUESTS: [&str; 4] = [
    "PUT /fleet/v1/units/a.service",
    "PUT /fleet/v1/units/b@1.service",
    "PUT /v1-alpha/units/t@.timer",
    "PATCH /fleet/v1/machines",
];

#[test]
fn fuzz_bodies() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    Fuzz::new("bodies").like(BODIES).of_words(WORDS).run(move |input| {
        runtime.block_on(bodies(input));
    });
}

async fn bodies(input: &[u8]) {
    let server = Server::start();
    let _presence = server.register("XXX", "", &[]).await;
    for part in input.split(|byte| *byte == 0).filter(|part| !part.is_empty()) {
        let request = REQUESTS[usize::from(part[0].wrapping_sub(b'a')) % REQUESTS.len()];
        let body = &part[1..];
        let head = format!(
            "{request} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = server.raw(&[head.as_bytes(), body].concat()).await;
        let answer = String::from_utf8(answer).expect("answers are text");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(!status.is_empty() && !status.starts_with('5'), "{request}: {answer:?}");
    }
    for list in ["units", "state", "machines"] {
        let answer = server.get(&format!("/fleet/v1/{list}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
