package webui

import (
	"errors"
	"fmt"
	"html/template"
	"text/template/parse"
)

// check says which texts templates name that the language lacks, before somebody finds out by looking at a page.
func (w *words) check(t *template.Template) error {
	var faults []error
	for _, one := range t.Templates() {
		if one.Tree == nil || one.Tree.Root == nil {
			continue
		}
		walk(one.Tree.Root, func(c *parse.CommandNode) {
			if len(c.Args) < 2 {
				return
			}
			name, ok := c.Args[0].(*parse.IdentifierNode)
			key, constant := c.Args[1].(*parse.StringNode)
			if !ok || !constant || name.Ident != "t" && name.Ident != "n" {
				return
			}
			full := key.Text
			if name.Ident == "n" {
				full += ".other"
			}
			if _, known := w.texts[full]; !known {
				faults = append(faults, fmt.Errorf("%s names the text %q, which texts/%s.json lacks", one.Name(), full, w.name))
			}
		})
	}
	return errors.Join(faults...)
}

// walk visits each command below a node.
func walk(node parse.Node, visit func(*parse.CommandNode)) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				walk(child, visit)
			}
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.TemplateNode:
		walk(n.Pipe, visit)
	case *parse.PipeNode:
		if n != nil {
			for _, c := range n.Cmds {
				walk(c, visit)
			}
		}
	case *parse.CommandNode:
		visit(n)
		for _, arg := range n.Args {
			walk(arg, visit)
		}
	}
}

func walkBranch(n *parse.BranchNode, visit func(*parse.CommandNode)) {
	walk(n.Pipe, visit)
	walk(n.List, visit)
	walk(n.ElseList, visit)
}
