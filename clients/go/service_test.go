// Package clients_test runs the stubs against the service that the environment names. Without one the tests
// fail; they never skip.
package clients_test

import (
	"context"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	tallymark "github.com/tallymark/tallymark/clients/go/tallymark/v1"
)

const (
	timeout = 30 * time.Second
	pause   = 20 * time.Millisecond
)

func TestQuickstartPrintsItsRows(t *testing.T) {
	conn, read := connect(t), withKey(t, "TALLYMARK_READ_KEY")
	withKey(t, "TALLYMARK_KEY")
	prefix := uniquePrefix()

	var stdout, stderr strings.Builder
	example := exec.Command("go", "run", "./examples/quickstart", prefix)
	example.Stdout, example.Stderr = &stdout, &stderr
	if err := example.Run(); err != nil {
		t.Fatalf("quickstart: %v\n%s", err, &stderr)
	}
	want := prefix + "/home\tWindows\t2\n" + prefix + "/home\tAndroid\t1\n" + prefix + "/pricing\tAndroid\t1\n"
	if stdout.String() != want {
		t.Errorf("quickstart printed\n%swant\n%s", &stdout, want)
	}
	if !strings.HasSuffix(stderr.String(), "3 of 3 streamed events stored\n") {
		t.Errorf("quickstart logged %q", &stderr)
	}

	answer, err := tallymark.NewQueryServiceClient(conn).Aggregate(read, &tallymark.AggregateRequest{
		Bucket:     tallymark.Bucket_BUCKET_WHOLE_RANGE,
		Dimensions: []string{"page", "os"},
		Metrics:    []string{"events", "duration_mean"},
		Filter: &tallymark.Filter{Kind: &tallymark.Filter_Where{Where: &tallymark.Condition{
			Dimension: "page", Operator: tallymark.Operator_OPERATOR_STARTS_WITH, Values: []string{prefix},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Rows) != 3 {
		t.Fatalf("%d rows, want 3: %v", len(answer.Rows), answer)
	}
	wantEvents, wantMean := []float64{2, 1, 1}, []float64{12, math.NaN(), math.NaN()}
	for i, row := range answer.Rows {
		events, mean := row.Metrics[0], row.Metrics[1]
		sameMean := mean == wantMean[i] || math.IsNaN(mean) && math.IsNaN(wantMean[i])
		if events != wantEvents[i] || !sameMean {
			t.Errorf("row %d: %v events of %v s, want %v of %v s", i, events, mean, wantEvents[i], wantMean[i])
		}
	}
}

func TestAnEventSentTwiceIsCountedOnce(t *testing.T) {
	ingest, write := tallymark.NewIngestServiceClient(connect(t)), withKey(t, "TALLYMARK_KEY")
	event := pageView(uniquePrefix())
	// Only a commit that is waited for tells a repeated event.
	committed := tallymark.Acknowledgement_ACKNOWLEDGEMENT_COMMITTED

	first, err := ingest.IngestEvent(write, &tallymark.IngestEventRequest{Event: event, Acknowledgement: committed})
	if err != nil {
		t.Fatal(err)
	}
	if first.Result.Verdict != tallymark.Verdict_VERDICT_ACCEPTED || first.Result.EventId != event.EventId {
		t.Errorf("the first time: %v", first)
	}

	stream, err := ingest.StreamEvents(write)
	if err != nil {
		t.Fatal(err)
	}
	again := &tallymark.StreamEventsRequest{Events: []*tallymark.Event{event}, Acknowledgement: committed}
	if err := stream.Send(again); err != nil {
		t.Fatal(err)
	}
	summary, err := stream.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	if summary.Received != 1 || summary.Accepted != 0 || summary.Duplicates != 1 {
		t.Errorf("the second time: %v", summary)
	}
}

func TestAPipeAcknowledgesEveryMessageInOrder(t *testing.T) {
	conn, prefix := connect(t), uniquePrefix()
	pipe, err := tallymark.NewIngestServiceClient(conn).PipeEvents(withKey(t, "TALLYMARK_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	for messageID := uint64(7); messageID <= 9; messageID++ {
		message := &tallymark.PipeEventsRequest{
			MessageId: messageID,
			// The question comes right after the last acknowledgement.
			Acknowledgement: tallymark.Acknowledgement_ACKNOWLEDGEMENT_COMMITTED,
		}
		for range messageID {
			message.Events = append(message.Events, pageView(prefix))
		}
		if err := pipe.Send(message); err != nil {
			t.Fatal(err)
		}
	}

	// All while the call is open: an acknowledgement does not wait for the half-close.
	for messageID := uint64(7); messageID <= 9; messageID++ {
		reply, err := pipe.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if reply.MessageId != messageID || uint64(reply.Accepted) != messageID {
			t.Errorf("got %v, want %d events of message %d", reply, messageID, messageID)
		}
	}
	if err := pipe.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if reply, err := pipe.Recv(); err != io.EOF {
		t.Errorf("after the half-close: %v, %v, want the end", reply, err)
	}
	if events := eventsOf(t, conn, prefix); events != 24 {
		t.Errorf("%v events are in the answer, want 24", events)
	}
}

func TestAnEventThatIsLoggedIsInAnswersSoonAfter(t *testing.T) {
	conn, prefix, write := connect(t), uniquePrefix(), withKey(t, "TALLYMARK_KEY")
	ingest := tallymark.NewIngestServiceClient(conn)

	first, err := ingest.IngestEvent(write, &tallymark.IngestEventRequest{
		Event: pageView(prefix), Acknowledgement: tallymark.Acknowledgement_ACKNOWLEDGEMENT_LOGGED,
	})
	if err != nil {
		t.Fatal(err)
	}
	if first.Result.Verdict != tallymark.Verdict_VERDICT_ACCEPTED {
		t.Errorf("logged: %v", first)
	}
	byDefault, err := ingest.IngestEvent(write, &tallymark.IngestEventRequest{Event: pageView(prefix)})
	if err != nil {
		t.Fatal(err)
	}
	if byDefault.Result.Verdict != tallymark.Verdict_VERDICT_ACCEPTED {
		t.Errorf("by default: %v", byDefault)
	}

	deadline := time.Now().Add(timeout)
	for events := eventsOf(t, conn, prefix); events != 2; events = eventsOf(t, conn, prefix) {
		if time.Now().After(deadline) {
			t.Fatalf("%v of 2 events are in the answer", events)
		}
		time.Sleep(pause)
	}
}

func TestABadEventNamesTheFieldThatIsWrong(t *testing.T) {
	ingest, write := tallymark.NewIngestServiceClient(connect(t)), withKey(t, "TALLYMARK_KEY")
	nameless := &tallymark.Event{EventId: uuid.Must(uuid.NewV7()).String(), VisitorId: "ada", Page: "/home"}

	_, err := ingest.IngestEvent(write, &tallymark.IngestEventRequest{Event: nameless})

	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("got %v, want InvalidArgument", err)
	}
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		if badRequest, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range badRequest.FieldViolations {
				fields = append(fields, violation.Field)
				if violation.Description == "" {
					t.Errorf("%s has no description", violation.Field)
				}
			}
		}
	}
	if !slices.Equal(fields, []string{"event.name"}) {
		t.Errorf("violated fields: %v, want event.name", fields)
	}
}

func TestHealth(t *testing.T) {
	reply, err := grpc_health_v1.NewHealthClient(connect(t)).Check(deadline(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("got %v, want SERVING", reply.Status)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	stream, err := grpc_reflection_v1.NewServerReflectionClient(connect(t)).ServerReflectionInfo(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	request := &grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}

	var listed []string
	for _, service := range reply.GetListServicesResponse().GetService() {
		listed = append(listed, service.Name)
	}
	for _, want := range []string{
		"grpc.health.v1.Health",
		tallymark.IngestService_ServiceDesc.ServiceName,
		tallymark.QueryService_ServiceDesc.ServiceName,
	} {
		if !slices.Contains(listed, want) {
			t.Errorf("%s is not among %v", want, listed)
		}
	}
}

func pageView(prefix string) *tallymark.Event {
	id := uuid.Must(uuid.NewV7()).String()
	return &tallymark.Event{EventId: id, Name: "page_view", VisitorId: "ada", Page: prefix + "/home"}
}

// eventsOf asks how many events an answer counts on the pages of this prefix.
func eventsOf(t *testing.T, conn *grpc.ClientConn, prefix string) (events float64) {
	t.Helper()
	question := &tallymark.AggregateRequest{
		Bucket: tallymark.Bucket_BUCKET_WHOLE_RANGE,
		Filter: &tallymark.Filter{Kind: &tallymark.Filter_Where{Where: &tallymark.Condition{
			Dimension: "page", Operator: tallymark.Operator_OPERATOR_STARTS_WITH, Values: []string{prefix},
		}}},
	}
	answer, err := tallymark.NewQueryServiceClient(conn).Aggregate(withKey(t, "TALLYMARK_READ_KEY"), question)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range answer.Rows {
		events += row.Metrics[0]
	}
	return events
}

func connect(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(required(t, "TALLYMARK_ADDRESS"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func withKey(t *testing.T, variable string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(deadline(t), "authorization", "Bearer "+required(t, variable))
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func required(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("%s is not set: these tests need a running service (clients/test.sh)", variable)
	}
	return value
}

// uniquePrefix starts page paths that no other run has used.
func uniquePrefix() string {
	return "/go-" + uuid.NewString()
}
