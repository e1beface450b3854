//! Clients that no library would make: HTTP/2 frames by hand (RFC 9113), for calls that stall.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;
/// Windows before anybody says otherwise, and the largest frame that everybody takes.
const FIRST_WINDOW: i64 = 65_535;
const MAX_FRAME: usize = 16_384;

/// A connection.
pub struct RawConnection {
    stream: TcpStream,
    next_call: u32,
    connection_window: i64,
    first_window: i64,
    call_window: i64,
}

/// What became of data that was to be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was taken.
    All,
    /// The server ended the call before.
    Ended,
}

impl RawConnection {
    /// A connection over which both sides have sent their settings.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Self::begin(address).await?;
        while connection.read_frame(0).await? != SETTINGS {}
        Ok(connection)
    }

    /// A connection that the server need not have accepted.
    pub async fn begin(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Replies that nobody reads fill little of the machine's memory.
        socket.set_recv_buffer_size(4_096)?;
        let mut connection = Self {
            stream: socket.connect(address).await?,
            next_call: 1,
            connection_window: FIRST_WINDOW,
            first_window: FIRST_WINDOW,
            call_window: FIRST_WINDOW,
        };
        connection
            .stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await?;
        connection
            .stream
            .write_all(&frame(SETTINGS, 0, 0, &[]))
            .await?;
        Ok(connection)
    }

    /// Begins a call and sends nothing more of it.
    pub async fn begin_call(&mut self, path: &str) -> io::Result<u32> {
        let call = self.next_call;
        self.next_call += 2;
        self.call_window = self.first_window;
        let headers = frame(HEADERS, END_HEADERS, call, &header_block(path));
        self.stream.write_all(&headers).await?;
        Ok(call)
    }

    /// Sends a part of a call's body, as fast as the server takes it.
    pub async fn send(&mut self, call: u32, mut data: &[u8]) -> io::Result<Sent> {
        while !data.is_empty() {
            let window = self.connection_window.min(self.call_window);
            let Some(window) = usize::try_from(window).ok().filter(|&window| window > 0) else {
                match self.read_frame(call).await? {
                    RST_STREAM | GOAWAY | HEADERS => return Ok(Sent::Ended),
                    _ => continue,
                }
            };
            let (part, rest) = data.split_at(data.len().min(window).min(MAX_FRAME));
            self.stream.write_all(&frame(DATA, 0, call, part)).await?;
            self.connection_window -= part.len() as i64;
            self.call_window -= part.len() as i64;
            data = rest;
        }
        Ok(Sent::All)
    }

    /// Waits until the server ends the call.
    pub async fn ended(&mut self, call: u32) -> io::Result<()> {
        while !matches!(self.read_frame(call).await?, RST_STREAM | GOAWAY | HEADERS) {}
        Ok(())
    }

    /// Makes so many calls as fast as they can be written, and reads nothing; the connection stays.
    pub async fn call_and_never_read(
        &mut self,
        path: &str,
        body: &[u8],
        calls: u32,
    ) -> io::Result<()> {
        let headers = header_block(path);
        for _ in 0..calls {
            let call = self.next_call;
            self.next_call += 2;
            let has_room = self.connection_window >= body.len() as i64;
            let end = if has_room { 0 } else { END_STREAM };
            let mut frames = frame(HEADERS, END_HEADERS | end, call, &headers);
            if has_room {
                self.connection_window -= body.len() as i64;
                frames.extend(frame(DATA, END_STREAM, call, body));
            }
            self.stream.write_all(&frames).await?;
        }
        Ok(())
    }

    /// Reads one frame, does what it asks for, and returns its type; one of another call than this
    /// is only read.
    async fn read_frame(&mut self, call: u32) -> io::Result<u8> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [l0, l1, l2, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        self.stream.read_exact(&mut payload).await?;
        let id = u32::from_be_bytes(id);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([setting[0], setting[1]]);
                    let value =
                        u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                    if name == INITIAL_WINDOW_SIZE {
                        self.call_window += i64::from(value) - self.first_window;
                        self.first_window = i64::from(value);
                    }
                }
                self.stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
            }
            PING if flags & ACK == 0 => {
                self.stream
                    .write_all(&frame(PING, ACK, 0, &payload))
                    .await?;
            }
            WINDOW_UPDATE => {
                let more = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                if id == 0 {
                    self.connection_window += i64::from(more);
                } else if id == call {
                    self.call_window += i64::from(more);
                }
            }
            _ if id != 0 && id != call => return Ok(DATA),
            _ => {}
        }
        Ok(kind)
    }
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call without a key (RFC 7541): names by their place in the static table where
/// they have one, values as they are.
fn header_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // :method POST, :scheme http
    let mut add = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).expect("a short value"));
        block.extend(value.as_bytes());
    };
    add(&[0x04], path); // :path
    add(&[0x01], "localhost"); // :authority
    add(&[0x0f, 0x10], "application/grpc"); // content-type
    add(b"\x00\x02te", "trailers");
    block
}
