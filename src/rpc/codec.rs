//! The servers' codec: protobuf that blames the caller for a broken message, precisely.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use crate::error::ApiError;
use crate::validate::rules::decoding_fault;

/// Room that a call has for a request before it comes, and for a reply before its length is known.
/// It grows with the message, so more would only be spent on calls that wait.
const FIRST_BUFFER_BYTES: usize = 512;
/// Replies of a stream are gathered up to this, as tonic has it.
const YIELD_THRESHOLD_BYTES: usize = 32 * 1024;

fn buffer_settings() -> BufferSettings {
    BufferSettings::new(FIRST_BUFFER_BYTES, YIELD_THRESHOLD_BYTES)
}

/// Like tonic's `ProstCodec`, but a message that does not decode is INVALID_ARGUMENT with the
/// offending field instead of INTERNAL: it is the caller's message that is wrong.
#[derive(Debug)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(buffer_settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// The decoding half of [`StrictCodec`].
#[derive(Debug)]
pub struct StrictDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Self::Error> {
        match U::decode(buf) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                let fault = decoding_fault(&error);
                let text = match fault.field.is_empty() {
                    true => fault.description,
                    false => fault.to_string(),
                };
                Err(ApiError::MalformedMessage(text).into())
            }
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}
