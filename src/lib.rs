pub mod error;
pub mod pb;
pub mod rpc;
