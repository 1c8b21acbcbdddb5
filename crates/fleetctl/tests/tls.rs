//! https endpoints and the files of certificates, from the real binary (`fleetctl.md` 3.1).

mod support;

use std::fs;

use support::{
    Run, run,
    server::{
        Reply, Request, Server,
        tls::{Authority, Clients, Pair},
    },
};
use tempfile::TempDir;

const LOOPBACK: &str = "127.0.0.1";
const TORN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// A folder with certificates of an authority, and those of a stranger.
struct Desk {
    authority: Authority,
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let folder = tempfile::tempdir().unwrap();
        let Pair { certificate, key } = authority.certify("client");
        for (name, text) in [
            ("ca.pem", &*authority.pem),
            ("stranger.pem", &stranger.pem),
            ("client.pem", &certificate),
            ("client.key", &key),
            ("other.key", &authority.certify("client").key),
            ("garbage.pem", "garbage"),
            ("torn.pem", &format!("{}{TORN}", authority.pem)),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { authority, folder }
    }

    fn run(&self, endpoint: &str, words: &str) -> Run {
        let words = format!("list-machines --no-legend {words}");
        let words: Vec<&str> = words.split_whitespace().collect();
        run(self.folder.path(), &words, &[("FLEETCTL_ENDPOINT", endpoint)])
    }
}

fn answer(_: &Request) -> Reply {
    Reply::Send(200, r#"{"machines":[{"id":"c31e44e1f858436e933e59c642517860"}]}"#.to_owned())
}

const FOUND: &str = "rc 0\nout|c31e44e1...→-→-\n";

#[test]
fn a_server_is_believed_only_when_its_authority_is_known() {
    let desk = Desk::new();
    let server = Server::tls(&desk.authority.certify(LOOPBACK), Clients::Anybody, answer);
    let endpoint = server.https_endpoint();
    for words in
        ["--ca-file=ca.pem", "--etcd-cafile ca.pem", "--ca-file=stranger.pem --etcd-cafile=ca.pem"]
    {
        assert_eq!(desk.run(&endpoint, words).transcript(), FOUND, "{words}");
    }
    let asked = server.requests().len();
    for words in ["", "--ca-file=stranger.pem"] {
        let run = desk.run(&endpoint, words);
        assert_eq!((run.code, &*run.out), (Some(1), ""), "{words}");
        let text = format!("(Get \"{endpoint}/fleet/v1/machines?alt=json\": dial tcp ");
        assert!(run.err.contains(&text), "{}", run.err);
        assert!(run.err.contains("invalid peer certificate"), "{}", run.err);
    }
    assert_eq!(server.requests().len(), asked);
    let misnamed = Server::tls(&desk.authority.certify("fleet.test"), Clients::Anybody, answer);
    let run = desk.run(&misnamed.https_endpoint(), "--ca-file=ca.pem");
    assert!(run.err.contains("certificate not valid for name"), "{}", run.err);
}

#[test]
fn a_certificate_is_shown_to_a_server_that_wants_one() {
    let desk = Desk::new();
    let clients = Clients::CertifiedBy(&desk.authority);
    let server = Server::tls(&desk.authority.certify(LOOPBACK), clients, answer);
    let endpoint = server.https_endpoint();
    let known = "--ca-file=ca.pem --cert-file=client.pem --key-file=client.key";
    assert_eq!(desk.run(&endpoint, known).transcript(), FOUND);
    assert_eq!(desk.run(&endpoint, "--ca-file=ca.pem").code, Some(1));
}

#[test]
fn files_that_cannot_be_used_are_refused_whatever_the_endpoint() {
    let desk = Desk::new();
    for endpoint in ["http://127.0.0.1:1", "https://127.0.0.1:1", "unix:///nowhere"] {
        for (words, error) in [
            ("--ca-file=nope", "open nope: no such file or directory"),
            ("--cert-file=nope --key-file=client.key", "open nope: no such file or directory"),
            ("--etcd-keyfile=nope", "open nope: no such file or directory"),
            ("--ca-file=garbage.pem", "tls: failed to find any certificate in CA input"),
            ("--ca-file=torn.pem", "tls: failed to parse certificate 2 in CA input"),
            ("--cert-file=client.pem", "tls: failed to find any PEM data in key input"),
            ("--key-file=client.key", "tls: failed to find any PEM data in certificate input"),
            (
                "--cert-file=client.pem --key-file=other.key",
                "tls: private key does not match public key",
            ),
        ] {
            for driver in ["--driver=API", "--driver=etcd"] {
                let run = desk.run(endpoint, &format!("{driver} {words}"));
                let text = format!("rc 1\nerr|Unable to initialize client: {error}\n");
                assert_eq!(run.transcript(), text, "{endpoint} {driver} {words}");
            }
        }
    }
}
