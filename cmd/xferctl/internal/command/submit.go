package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

const submitLong = `Submit a transfer that is described in a file (YAML or JSON), print its name and
leave it running. With --validate only find out whether it would be taken.

The file has the fields of the API's TransferSpec, as "xferctl transfers show -o
yaml" prints them under "spec". Sources and destination can instead be typed as
for cp, in "from" (one, or a list) and "to". A size may have a unit (4MiB).
A transfer with "prepared: true" moves nothing by itself: a program posts it, through
the client library, until "xferctl transfers finish".
transfer_id and spec may also stand side by side, as in the API's request:

  transfer_id: nightly-17
  spec:
    mode: sync
    from: n1:/data/set/
    to: n2:/data/set/
    delete: true
    verify: store
    labels: {job: nightly}`

func (a *app) submitCmd() *cobra.Command {
	var file, id string
	var validate bool
	cmd := &cobra.Command{
		Use:   "submit -f FILE",
		Short: "Submit a transfer that is described in a file",
		Long:  submitLong,
		Example: `  xferctl submit -f spec.yaml
  xferctl transfers wait "$(xferctl submit -f spec.yaml)"
  generate-spec | xferctl submit -f - --id nightly-17`,
		Args: between(0, 0, "only flags"),
		RunE: a.do(func(ctx context.Context, _ []string) error { return a.submit(ctx, file, id, validate) }),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the `file`, - is stdin")
	cmd.Flags().StringVar(&id, "id", "", "`id` of the transfer, instead of transfer_id in the file (default a new one)")
	cmd.Flags().BoolVar(&validate, "validate", false, "check everything, ask the target as well, and do nothing")
	return cmd
}

func (a *app) submit(ctx context.Context, file, id string, validate bool) error {
	if file == "" {
		return exit.Usagef("-f FILE is missing")
	}
	req, err := readRequest(file, a.env.Stdin)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	switch {
	case id != "":
		req.TransferId = id
	case req.GetTransferId() == "":
		req.TransferId = a.env.NewID()
	}
	if err := checkID(req.GetTransferId()); err != nil {
		return err
	}
	req.ValidateOnly = req.GetValidateOnly() || validate
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	if req.GetValidateOnly() {
		plan, err := api.Validate(ctx, req.GetSpec())
		if err != nil {
			return err
		}
		return a.print(func() any { return record.Of(plan) }, func() error {
			return show.Pairs(a.out, planPairs(req.GetSpec(), plan))
		})
	}
	t, err := api.Submit(ctx, req.GetTransferId(), req.GetSpec())
	if err != nil {
		return err
	}
	if t.AlreadyExisted {
		a.warn("the transfer exists already")
	}
	return a.print(func() any { return transferRecord(t.Transfer) }, func() error {
		a.outf("%s\n", show.Name(t.GetName()))
		return nil
	})
}

func readRequest(file string, stdin io.Reader) (*xferv1.SubmitTransferRequest, error) {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	req, err := parseRequest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return req, nil
}

func parseRequest(text []byte) (*xferv1.SubmitTransferRequest, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // some editors put it there
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s", yaml.FormatError(err, false, false))
	}
	if len(doc) == 0 {
		return nil, fmt.Errorf("there is no spec in it")
	}
	spec := doc
	whole, isRequest := doc["spec"]
	if isRequest {
		m, ok := whole.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("spec: must be a mapping")
		}
		spec = m
	} else {
		doc = map[string]any{}
	}
	from, to := spec["from"], spec["to"]
	delete(spec, "from")
	delete(spec, "to")
	doc["spec"] = spec
	req := &xferv1.SubmitTransferRequest{Spec: &xferv1.TransferSpec{}}
	if err := record.Fill(req, doc); err != nil {
		if text := err.Error(); strings.HasPrefix(text, "spec.") && strings.Count(text[:strings.IndexByte(text, ':')], ".") == 1 {
			err = fmt.Errorf("%s", strings.Replace(text, "there is no such field; known are ", "there is no such field; known are from, to, ", 1))
		}
		if !isRequest {
			err = fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "spec."))
		}
		return nil, err
	}
	if from == nil && to == nil {
		return req, nil
	}
	return req, setTyped(req.GetSpec(), from, to)
}

// setTyped sets the places that were typed as for cp.
func setTyped(spec *xferv1.TransferSpec, from, to any) error {
	if len(spec.GetSources()) > 0 || spec.GetDestination() != nil || spec.GetSourceNode() != "" || spec.GetTargetNode() != "" || spec.GetPieces() != nil {
		return fmt.Errorf("from and to stand for source_node, sources, target_node and destination: write the one or the other")
	}
	list, ok := from.([]any)
	if !ok {
		list = []any{from}
	}
	parse := parser(place.Parse)
	switch spec.GetMode() {
	case xferv1.Mode_MODE_UNSPECIFIED, xferv1.Mode_MODE_COPY:
		parse = place.ParseAny
	}
	var places []place.Place
	for _, v := range append(list, to) {
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("from and to must be text (from may be a list), as in n1:/data/set")
		}
		p, err := parse(text, func() (string, error) { return "/", nil })
		if err != nil {
			return err
		}
		if p.Node == "" {
			return fmt.Errorf("%q has no node: write NODE:/path", text)
		}
		places = append(places, p)
	}
	last := len(places) - 1
	var m place.Mapping
	var err error
	if spec.GetMode() == xferv1.Mode_MODE_SYNC {
		if last != 1 {
			return fmt.Errorf("from: sync has one source")
		}
		m, err = place.Sync(places[0], places[1])
	} else {
		m, err = place.Copy(places[:last], places[last])
	}
	if err != nil {
		return err
	}
	setPlaces(spec, m)
	return nil
}
