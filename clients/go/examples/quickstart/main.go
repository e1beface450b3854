// Quickstart sends four events, then asks how many each page had on each operating system.
//
//	go run ./examples/quickstart [PREFIX]    PREFIX starts the path of every page, /shop
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	tallymark "github.com/tallymark/tallymark/clients/go/tallymark/v1"
)

const (
	windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
	android = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
)

func main() {
	log.SetFlags(0)
	prefix := ""
	if len(os.Args) > 1 {
		prefix = os.Args[1]
	}
	if err := run(prefix+"/home", prefix+"/pricing"); err != nil {
		log.Fatal(err)
	}
}

func run(home, pricing string) error {
	first := event("page_view", home, windows)
	exit := event("page_exit", home, windows)
	exit.Duration = durationpb.New(12 * time.Second)
	batch := []*tallymark.Event{exit, event("page_view", home, android), event("page_view", pricing, android)}
	question := &tallymark.AggregateRequest{
		Bucket:     tallymark.Bucket_BUCKET_WHOLE_RANGE,
		Dimensions: []string{"page", "os"},
		Metrics:    []string{"events", "duration_mean"},
		Filter: &tallymark.Filter{Kind: &tallymark.Filter_Where{
			Where: &tallymark.Condition{Dimension: "page", Values: []string{home, pricing}},
		}},
	}

	address := cmp.Or(os.Getenv("TALLYMARK_ADDRESS"), "127.0.0.1:50051")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ingest, query := tallymark.NewIngestServiceClient(conn), tallymark.NewQueryServiceClient(conn)
	write, read := withKey("TALLYMARK_KEY"), withKey("TALLYMARK_READ_KEY")

	// Committed rather than logged, the default: the question comes right after.
	committed := tallymark.Acknowledgement_ACKNOWLEDGEMENT_COMMITTED
	one := &tallymark.IngestEventRequest{Event: first, Acknowledgement: committed}
	if _, err := ingest.IngestEvent(write, one); err != nil {
		return err
	}

	stream, err := ingest.StreamEvents(write)
	if err != nil {
		return err
	}
	// A Send that fails says only "EOF"; CloseAndRecv then says why.
	_ = stream.Send(&tallymark.StreamEventsRequest{Events: batch, Acknowledgement: committed})
	summary, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	log.Printf("%d of %d streamed events stored", summary.Accepted, summary.Received)

	answer, err := query.Aggregate(read, question)
	if err != nil {
		return err
	}
	for _, row := range answer.Rows {
		page, system, events := row.Dimensions[0], row.Dimensions[1], row.Metrics[0]
		fmt.Printf("%s\t%s\t%.0f\n", page, system, events)
	}
	return nil
}

func event(name, page, userAgent string) *tallymark.Event {
	id := uuid.Must(uuid.NewV7()).String()
	return &tallymark.Event{EventId: id, VisitorId: "ada", Name: name, Page: page, UserAgent: userAgent}
}

func withKey(variable string) context.Context {
	secret := os.Getenv(variable)
	if secret == "" {
		return context.Background()
	}
	return metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+secret)
}
