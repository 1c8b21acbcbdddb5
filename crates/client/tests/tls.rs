//! Servers over TLS: verified, always (`fleetctl.md` 3.1).

mod support;

use std::{sync::Arc, time::Duration};

use fleet_client::{Client, ClientError};
use fleet_net::{Certificates, Direct, Tls};
use support::{
    Reply, Server,
    tls::{Authority, Clients, Pair},
};

const LOOPBACK: &str = "127.0.0.1";

fn answer(_: &support::Request) -> Reply {
    Reply::Send(200, r#"{"machines":[{"id":"m1"}]}"#.to_owned())
}

/// Asks `server` for its machines.
async fn ask(server: &Server, certificates: &Certificates) -> Result<usize, ClientError> {
    let endpoint = server.https_endpoint().parse().unwrap();
    let tls = Tls::new(certificates).unwrap();
    let timeout = Some(Duration::from_secs(10));
    let client = Client::with(endpoint, Arc::new(Direct), Some(tls), timeout);
    Ok(client.machines().await?.len())
}

fn trusting(authority: &Authority) -> Certificates {
    Certificates { ca: Some(authority.pem.clone().into_bytes()), ..Certificates::default() }
}

#[tokio::test]
async fn a_server_of_the_given_authority_is_believed() {
    let authority = Authority::new();
    let server = Server::tls(&authority.certify(LOOPBACK), Clients::Anybody, answer);
    assert_eq!(ask(&server, &trusting(&authority)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_of_nobody_of_another_or_of_another_name_is_not() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = Server::tls(&authority.certify(LOOPBACK), Clients::Anybody, answer);
    let misnamed = Server::tls(&authority.certify("fleet.test"), Clients::Anybody, answer);
    for (server, certificates, reason) in [
        (&good, Certificates::default(), "invalid peer certificate: UnknownIssuer"),
        (&good, trusting(&other), "invalid peer certificate: "),
        (&misnamed, trusting(&authority), "certificate not valid for name"),
    ] {
        let error = ask(server, &certificates).await.unwrap_err().to_string();
        let expected =
            format!("Get \"{}/fleet/v1/machines?alt=json\": dial tcp ", server.https_endpoint());
        assert!(error.starts_with(&expected) && error.contains(reason), "{error}");
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_one_is_asked_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server =
        Server::tls(&authority.certify(LOOPBACK), Clients::CertifiedBy(&authority), answer);
    let with = |pair: Pair| Certificates {
        certificate: Some(pair.certificate.into_bytes()),
        key: Some(pair.key.into_bytes()),
        ..trusting(&authority)
    };
    assert_eq!(ask(&server, &with(authority.certify("client"))).await.unwrap(), 1);
    let requests = server.requests().len();
    for certificates in [trusting(&authority), with(other.certify("client"))] {
        assert!(ask(&server, &certificates).await.is_err());
    }
    assert_eq!(server.requests().len(), requests);
}

#[tokio::test]
async fn plain_http_is_never_spoken_to_an_https_endpoint() {
    let server = Server::tcp(answer);
    let authority = Authority::new();
    assert!(ask(&server, &trusting(&authority)).await.is_err());
    // What came in was the beginning of a handshake, not of a request.
    assert!(server.requests().is_empty());
}
