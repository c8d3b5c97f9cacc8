// Prints the status that kstatus computes for each object of a JSON list on standard input, one per line.
// Flux and Helm 4 use this library to wait for resources.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

func main() {
	if err := printStatuses(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func printStatuses(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var objects []map[string]any
	if err := json.Unmarshal(text, &objects); err != nil {
		return err
	}
	for _, object := range objects {
		found, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			return err
		}
		fmt.Fprintln(out, found.Status)
	}
	return nil
}
