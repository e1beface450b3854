//! `tallymark healthcheck`: for a container's health check, where no other client is at hand.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::channel;

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ask a running server whether it serves.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Where the server listens.
    #[arg(long, env = "TALLYMARK_ADDRESS", default_value = "127.0.0.1:50051")]
    address: String,
    /// Ask about one service only, `tallymark.v1.QueryService`.
    #[arg(long, default_value = "")]
    service: String,
}

/// Runs `tallymark healthcheck`.
pub async fn run(args: HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let ask = async {
        let mut client = HealthClient::new(channel(&args.address).await?);
        let reply = client
            .check(HealthCheckRequest {
                service: args.service,
            })
            .await;
        anyhow::Ok(reply.map(|reply| reply.into_inner().status()))
    };
    let status = match tokio::time::timeout(PATIENCE, ask).await {
        Ok(reply) => match reply? {
            Ok(status) => status.as_str_name().to_owned(),
            Err(status) => status.message().to_owned(),
        },
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    println!("{status}");
    let is_serving = status == ServingStatus::Serving.as_str_name();
    Ok(if is_serving {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
