//! The listening socket, whose connections can be cut.
//!
//! A dropped answer must look to the client like a lost connection: no status, no bytes. The HTTP
//! server offers no way to close a connection from a handler. Every connection therefore has a
//! [`KillSwitch`]; when it is set, reads and writes fail and the server closes the socket.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Cuts one connection before the next byte is written to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct KillSwitch(Arc<AtomicBool>);

impl KillSwitch {
    /// Closes the connection; no more bytes are written to it.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// The remote end of a connection, with its kill switch. Handlers get it as `ConnectInfo`.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) kill_switch: KillSwitch,
}

impl Connected<IncomingStream<'_, ShopListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, ShopListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Accepts connections with `TCP_NODELAY` set and a kill switch in place.
#[derive(Debug)]
pub(crate) struct ShopListener(TcpListener);

impl ShopListener {
    /// Listens on the address; port 0 selects a free port.
    pub(crate) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(addr).await?))
    }

    pub(crate) fn socket_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Listener for ShopListener {
    type Io = CuttableStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (CuttableStream, Peer) {
        // Axum's listener logs accept errors and retries.
        let (tcp, addr) = Listener::accept(&mut self.0).await;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        let kill_switch = KillSwitch::default();
        let stream = CuttableStream {
            tcp,
            kill_switch: kill_switch.clone(),
        };
        (stream, Peer { addr, kill_switch })
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer {
            addr: self.socket_addr()?,
            kill_switch: KillSwitch::default(),
        })
    }
}

/// A TCP connection that obeys its kill switch.
#[derive(Debug)]
pub(crate) struct CuttableStream {
    tcp: TcpStream,
    kill_switch: KillSwitch,
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.kill_switch.check()?;
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kill_switch.check()?;
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.kill_switch.check()?;
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
