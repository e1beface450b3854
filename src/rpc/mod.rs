pub mod codec;
pub mod stream_batch;
