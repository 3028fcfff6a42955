// Command passerelle is the gateway of a MyData operator: it lets persons take a whole instance with them, in a
// signed archive that anyone can open and check, and brings it in elsewhere.
//
// This folder holds flags, configuration and wiring: one file a subcommand, and wire.go, which lists every adapter
// and codec. No logic, no SQL.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	_ "time/tzdata" // calendars need time zones, also where the machine has none

	"github.com/alecthomas/kong"
)

// program is the command line. Flags, environment variables and messages say the same names.
type program struct {
	Data       string        `help:"Folder of the gateway: its keys, its database, whom it trusts." env:"PASSERELLE_DATA" placeholder:"DIR" type:"path"`
	Database   string        `help:"PostgreSQL database (postgres://…) for the instances and the log, in the place of the SQLite file in the folder; blobs stay in the folder." env:"PASSERELLE_DATABASE" placeholder:"URL"`
	KeepProofs time.Duration `help:"For how long what proves a consent is kept although the person wants to be erased, counted from each decision: 43800h is five years." env:"PASSERELLE_KEEP_PROOFS" placeholder:"DURATION"`
	JSON       bool          `name:"json" help:"Print what was done as JSON, for machines."`

	Config     kong.ConfigFlag `help:"JSON file with flags by their names; what is given on the command line goes before." env:"PASSERELLE_CONFIG" placeholder:"FILE"`
	vaultFlags `embed:"" prefix:"vault-"`

	Demo     demoCommand     `cmd:"" help:"Two operators, one person, one move: the whole journey on this machine."`
	Export   exportCommand   `cmd:"" help:"Write a signed archive of an instance."`
	Import   importCommand   `cmd:"" help:"Verify an archive, then load it."`
	Move     moveCommand     `cmd:"" help:"Bring a person here from another operator's running gateway, while they go on working there."`
	Verify   verifyCommand   `cmd:"" help:"Check every byte of an archive, its signature and its claims."`
	Inspect  inspectCommand  `cmd:"" help:"List what an archive holds, or print its records."`
	Serve    serveCommand    `cmd:"" help:"Run a gateway: persons decide, services read what they were granted, and everybody checks the log."`
	Log      logCommand      `cmd:"" help:"Check a log, ours or another operator's; look into ours; make and check proofs."`
	Audit    auditCommand    `cmd:"" help:"Account for what was decided and read: rules, evidence, auditors, deadlines."`
	Person   personCommand   `cmd:"" help:"Persons who have an instance here."`
	Service  serviceCommand  `cmd:"" help:"Services that may ask persons for data."`
	Key      keyCommand      `cmd:"" help:"The operator's keys."`
	Operator operatorCommand `cmd:"" help:"Who this operator is, and which others it trusts."`

	out io.Writer // results
	err io.Writer // progress and remarks
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // the input is bad, or a check failed
	exitUsage  = 2
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(65) // live data is small here and contents are many: less memory for a little more time
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) (code int) {
	p := &program{out: stdout, err: stderr}
	exited := false
	parser, err := kong.New(p, kong.Name("passerelle"),
		kong.Description("You stay because you can leave: take a whole instance from one operator to another."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Writers(stdout, stderr),
		kong.Configuration(configFile),
		kong.Exit(func(c int) { exited, code = true, c }), kong.Vars{"specs": specsHelp})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited {
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "passerelle: %v\nSee passerelle --help.\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(p); err != nil {
		return p.fail(err)
	}
	return exitDone
}

// errUsage is the parent of errors that only the person at the keyboard can mend by typing something else.
var errUsage = errors.New("usage")

// errSaid is returned by a command that has already said what is wrong.
var errSaid = errors.New("said")

func (p *program) fail(err error) int {
	if errors.Is(err, errSaid) {
		return exitFailed
	}
	fmt.Fprintf(p.err, "passerelle: %v\n", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}
