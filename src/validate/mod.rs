//! Protobuf → domain, once: what comes out keeps every rule that the .proto files state, and what
//! does not is answered with the path of the field, what is wrong and what would be right.

pub mod dead_letters;
pub mod event;
pub mod fields;
pub mod filter;
pub mod page_token;
pub mod properties_json;
pub mod property;
pub mod question;
pub mod range;
pub mod realtime;
pub mod reports;
pub mod rollup;
pub mod rules;
