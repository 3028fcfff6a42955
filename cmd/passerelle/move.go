package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// moveCommand brings a person from another operator to the gateway that runs here, and shows how far it is.
type moveCommand struct {
	From   string `help:"The operator whom the person leaves: its id, or the address of its gateway. It must be trusted (passerelle operator trust)." placeholder:"OPERATOR"`
	To     string `help:"home:NAME: the instance that they will have here, made if there is none." required:"" placeholder:"TARGET"`
	Pause  bool   `help:"Have the move that is under way wait."`
	Resume bool   `help:"Let it go on, or try again at once what had trouble."`
	Stop   bool   `help:"Stop it: the person stays where they were."`
	Status bool   `help:"Only say how the last one stands."`
}

// Run asks the other operator, tells where the person says yes, and follows the move until it has ended. Who breaks it off
// stops looking, not the move.
func (c *moveCommand) Run(ctx context.Context, p *program) error {
	name, ok := strings.CutPrefix(c.To, "home:")
	if !ok {
		return fmt.Errorf("%w: --to takes home:NAME: an instance moves to this gateway", errUsage)
	}
	if err := home.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := p.runs(ctx); err != nil {
		return err
	}
	switch {
	case c.Pause, c.Resume, c.Stop, c.Status:
		return c.change(ctx, p, name)
	case c.From == "":
		return fmt.Errorf("%w: say whom the person leaves with --from", errUsage)
	}
	id, err := c.ask(ctx, p, name)
	if err != nil {
		return err
	}
	return c.follow(ctx, p, name, id)
}

// runs reports an error where no gateway runs that could take somebody in.
func (p *program) runs(ctx context.Context) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	if !adminRuns(ctx, g.dir) {
		return errors.New("no gateway runs here: start passerelle serve first, with the same --data")
	}
	return nil
}

// ask has the other operator asked, and waits until the person has said yes there.
func (c *moveCommand) ask(ctx context.Context, p *program, name string) (string, error) {
	body, err := json.Marshal(map[string]string{"person": name, "operator": c.From})
	if err != nil {
		return "", err
	}
	before, err := moves(ctx, p, name)
	if err != nil {
		return "", err
	}
	var asked struct{ URL string }
	if err := p.administer(ctx, http.MethodPost, "/admin/moves", body, &asked); err != nil {
		return "", err
	}
	fmt.Fprintf(p.err, "The person says yes here, at the operator that they leave:\n  %s\nWaiting for that …\n", asked.URL)
	for {
		now, err := moves(ctx, p, name)
		if err != nil {
			return "", err
		}
		if len(now) > len(before) {
			return now[0].ID, nil
		}
		select {
		case <-ctx.Done():
			return "", errors.New("nobody has said yes so far; when they do, the move begins all the same: passerelle move --status --to " + c.To)
		case <-time.After(time.Second):
		}
	}
}

// moves are the moves of a person to here, the last one first.
func moves(ctx context.Context, p *program, name string) (list []api.Arriving, err error) {
	return list, p.administer(ctx, http.MethodGet, "/admin/moves?"+url.Values{"person": {name}}.Encode(), nil, &list)
}

// follow shows how far a move is until it has ended.
func (c *moveCommand) follow(ctx context.Context, p *program, name, id string) error {
	observe, done := p.meter()
	defer done()
	var last api.Arriving
	for {
		list, err := moves(ctx, p, name)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(m api.Arriving) bool { return m.ID == id })
		if at < 0 {
			return fmt.Errorf("the move %s is not there any more", id)
		}
		m := list[at]
		if err := p.sayChange(last, m); err != nil {
			return err
		}
		last = m
		switch {
		case m.Done, m.Stage == move.Aborted:
			done()
			return c.say(p, m)
		case m.Paused:
			fmt.Fprintf(p.err, "It is paused: passerelle move --resume --to %s\n", c.To)
			return nil
		case observe != nil:
			observe(transfer.Progress{Step: m.Progress.Step, Records: m.Progress.Records, Bytes: m.Progress.Bytes, TotalRecords: m.Progress.TotalRecords, TotalBytes: m.Progress.TotalBytes})
		}
		select {
		case <-ctx.Done():
			return errors.New("not looked at any longer; the move goes on: passerelle move --status --to " + c.To)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// sayChange tells what is new about a move.
func (p *program) sayChange(last, m api.Arriving) error {
	if m.Stage != last.Stage {
		fmt.Fprintf(p.err, "%s\n", stageWords[m.Stage])
	}
	if m.Trouble != last.Trouble && m.Trouble != "" {
		return sayTrouble(p.err, m)
	}
	return nil
}

// sayTrouble tells why a move does not go on, in the words of the pages. What broke in particular is in the gateway's log.
func sayTrouble(to io.Writer, m api.Arriving) error {
	say, err := webui.Texts("en")
	if err != nil {
		return err
	}
	texts := []string{"move.trouble", "move.trouble-" + string(m.Trouble), "move.do-" + string(m.Trouble)}
	for i, key := range texts {
		if texts[i], err = say(key); err != nil {
			return err
		}
	}
	next := "It waits for passerelle move --resume."
	if !m.Paused {
		next = "It is tried again by itself, next at " + m.Next.Local().Format(time.TimeOnly) + "."
	}
	fmt.Fprintf(to, "%s %s\n", strings.Join(texts, " "), next)
	return nil
}

var stageWords = map[move.Stage]string{
	move.Planned:   "Everything is being copied; the person goes on working there.",
	move.Copied:    "Everything has come, and is read again.",
	move.CaughtUp:  "What changed meanwhile has come, too.",
	move.Fenced:    "The other operator has stopped writing; the last changes come.",
	move.Accepted:  "Everything is here, and we have signed that. The other operator has the last word.",
	move.Activated: "Both have signed: the person works here now.",
	move.Aborted:   "It was stopped: the person stays where they were.",
}

// change pauses, resumes or stops the last move of a person, or says how it stands.
func (c *moveCommand) change(ctx context.Context, p *program, name string) error {
	list, err := moves(ctx, p, name)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%s has not moved here, nor is about to", name)
	}
	m := list[0]
	path := "/admin/moves/" + url.PathEscape(m.ID)
	query := "?" + url.Values{"person": {name}}.Encode()
	switch {
	case c.Pause:
		err = p.administer(ctx, http.MethodPut, path+"/pause"+query, nil, &m)
	case c.Resume:
		err = p.administer(ctx, http.MethodDelete, path+"/pause"+query, nil, &m)
	case c.Stop:
		err = p.administer(ctx, http.MethodDelete, path+query, nil, &m)
	}
	if err != nil {
		return err
	}
	return c.say(p, m)
}

// say tells how a move stands, or what came of it.
func (c *moveCommand) say(p *program, m api.Arriving) error {
	if p.JSON {
		return p.printJSON(m)
	}
	fmt.Fprintf(p.out, "Move %s of %s from %s, begun %s: %s%s%s.\n", m.ID, m.Person, m.Operator, m.Begun.Local().Format(time.DateTime), m.Stage, mark(m.Paused, ", paused"), mark(m.Stopping, ", being stopped"))
	switch {
	case m.Trouble != "":
		return sayTrouble(p.out, m)
	case m.Stage == move.Aborted:
		fmt.Fprintf(p.out, "%s\n", m.Why)
	case m.Stage == move.Activated:
		sayHeld(p, m)
	}
	return nil
}

func mark(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func sayHeld(p *program, m api.Arriving) {
	for _, set := range formats.Datasets() {
		if n, ok := m.Held[set]; ok {
			fmt.Fprintf(p.out, "  %-10s %8d records  %8d files\n", set, n.Records, n.Files)
		}
	}
	for _, o := range transfer.Omissions(append(m.Refused, m.Omitted...)) {
		fmt.Fprintf(p.out, "  %s: %s\n", o.Kind(), o)
	}
	if m.Receipt != nil {
		fmt.Fprintf(p.out, "Both operators have signed the receipt: passerelle --json move --status --to home:%s prints it.\n", m.Person)
	}
}
