package jobs

import (
	"context"
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
)

// What River is told when there is a job.
const (
	topic   = "river_insert"
	payload = `{"queue": "default"}`
)

// local is River's driver for SQLite, but that announcements do not pass through a table, which River would read twenty
// times a second with the one connection that writes: who asks for jobs and who works them are one process.
type local struct {
	riverdriver.Driver[*sql.Tx]
	bell bell
}

func (l local) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener { return l.bell }
func (l local) SupportsListener() bool                                            { return true }
func (l local) SupportsListenNotify() bool                                        { return false }

// bell tells River that there may be a job. It rings on until it is heard, but only once.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func (b bell) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b:
		return &riverdriver.Notification{Topic: topic, Payload: payload}, nil
	}
}

// The rest of a listener has nothing to do.

func (b bell) Close(context.Context) error            { return nil }
func (b bell) Connect(context.Context) error          { return nil }
func (b bell) Listen(context.Context, string) error   { return nil }
func (b bell) Unlisten(context.Context, string) error { return nil }
func (b bell) Ping(context.Context) error             { return nil }
func (b bell) Schema() string                         { return "" }
func (b bell) SetAfterConnectExec(string)             {}
