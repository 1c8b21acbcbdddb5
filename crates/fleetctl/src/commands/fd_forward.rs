//! `fleetctl fd-forward` (`fleetctl.md` 5.15): the far end of a tunnel to a unix socket.

use std::io;

use clap::{ArgMatches, Command};
use fleet_core::error_text::plain;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};

use crate::{error::CliError, flags};

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Proxy stdin and stdout to a unix domain socket")
        .override_usage("fd-forward SOCKET")
        .long_about(
            "Connect stdin and stdout to a unix socket. fleetctl runs this on the host that it\n\
             tunnels through; there is no need to run it by hand.\n\
             \n\
             The end of stdin is passed on, and what the socket still has to say is printed.",
        )
}

pub(crate) async fn run(matches: &ArgMatches) -> Result<(), CliError> {
    let words = flags::words(matches);
    let [path] = &*words else {
        return Err(CliError::failed("Provide a single argument"));
    };
    let socket = UnixStream::connect(path).await.map_err(|error| {
        let cause = plain(&error);
        CliError::Failed(format!(
            "Failed dialing remote address: dial unix {path}: connect: {cause}"
        ))
    })?;
    forward(socket, tokio::io::stdin(), tokio::io::stdout()).await.map_err(|error| {
        CliError::Failed(format!("Encountered error during copy: {}", plain(&error)))
    })
}

/// Copies both ways until the socket is closed, whatever becomes of `input`.
async fn forward(
    socket: UnixStream,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (mut from, mut to) = socket.into_split();
    let up = async {
        tokio::io::copy(&mut input, &mut to).await?;
        to.shutdown().await
    };
    let down = async {
        tokio::io::copy(&mut from, &mut output).await?;
        output.flush().await
    };
    tokio::pin!(up, down);
    let sent = tokio::select! {
        // Nobody reads what is still to come on stdin.
        result = &mut down => return result,
        sent = &mut up => sent,
    };
    down.await?;
    // A server may answer and hang up before it has read everything; its answer comes first.
    sent
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_input_is_passed_on_and_the_answer_still_comes() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut output = Vec::new();
        let request: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let server = async {
            let mut seen = Vec::new();
            far.read_to_end(&mut seen).await.unwrap();
            far.write_all(&seen).await.unwrap();
            drop(far);
        };
        let (result, ()) = tokio::join!(forward(near, &*request, &mut output), server);
        result.unwrap();
        assert!(output == request);
    }

    #[tokio::test]
    async fn it_ends_with_the_socket_though_the_input_stays_open() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (input, _open) = duplex(1);
        let mut output = Vec::new();
        far.write_all(b"bye").await.unwrap();
        drop(far);
        forward(near, input, &mut output).await.unwrap();
        assert_eq!(output, b"bye");
    }

    #[tokio::test]
    async fn each_piece_is_passed_on_at_once() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (mut typing, input) = duplex(64);
        let (output, mut screen) = duplex(64);
        let server = async {
            for text in [b"ping", b"pong"] {
                let mut seen = [0; 4];
                typing.write_all(text).await.unwrap();
                far.read_exact(&mut seen).await.unwrap();
                assert_eq!(&seen, text);
                far.write_all(text).await.unwrap();
                screen.read_exact(&mut seen).await.unwrap();
                assert_eq!(&seen, text);
            }
            drop(far);
        };
        let (result, ()) = tokio::join!(forward(near, input, output), server);
        result.unwrap();
    }

    #[tokio::test]
    async fn a_closed_output_is_an_error() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (output, reader) = duplex(1);
        drop(reader);
        far.write_all(b"text").await.unwrap();
        assert!(forward(near, tokio::io::empty(), output).await.is_err());
    }
}
