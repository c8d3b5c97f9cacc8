// The chart's dashboard, in Grafana's own types.
//
// Grafana's type of a panel accepts any options, fields and queries, because they depend on the kind of panel and on
// the data source. Here they are those of the panels and the data source that the dashboard uses.

import type { Dashboard, FieldConfig, FieldConfigSource, Panel } from "@grafana/schema";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {
  FieldConfig as TableFields,
  Options as TableOptions,
} from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type {
  FieldConfig as TimeSeriesFields,
  Options as TimeSeriesOptions,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { PrometheusDataQuery } from "grafana-with-prometheus/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";

/** A type as JSON has it: an enumeration of texts is a text. */
type Json<T> = unknown extends T ? T : T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** Grafana fills in the defaults. */
type Optional<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: Optional<T[K]> } : T;

interface DataSource {
  type: "prometheus";
  uid: string;
}

interface PanelOf<Type extends string, Options, Fields>
  extends Omit<Panel, "type" | "datasource" | "targets" | "options" | "fieldConfig"> {
  type: Type;
  datasource: DataSource;
  targets: (Omit<PrometheusDataQuery, "datasource"> & { datasource: DataSource })[];
  options: Optional<Options>;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & {
    defaults: Omit<FieldConfig, "custom"> & { custom?: Optional<Fields> };
  };
}

type Panels =
  | PanelOf<"stat", StatOptions, never>
  | PanelOf<"table", TableOptions, TableFields>
  | PanelOf<"timeseries", TimeSeriesOptions, TimeSeriesFields>;

export type Expected = Json<Omit<Dashboard, "panels"> & { panels: Panels[] }>;
