pub mod cli;
pub mod error;
pub mod pb;
pub mod rpc;
