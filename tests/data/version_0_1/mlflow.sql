BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('6f8d9c3b2a1e');
CREATE TABLE assessments (
	assessment_id VARCHAR(50) NOT NULL, 
	trace_id VARCHAR(50) NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	assessment_type VARCHAR(20) NOT NULL, 
	value TEXT NOT NULL, 
	error TEXT, 
	created_timestamp BIGINT NOT NULL, 
	last_updated_timestamp BIGINT NOT NULL, 
	source_type VARCHAR(50) NOT NULL, 
	source_id VARCHAR(250), 
	run_id VARCHAR(32), 
	span_id VARCHAR(50), 
	rationale TEXT, 
	overrides VARCHAR(50), 
	valid BOOLEAN NOT NULL, 
	assessment_metadata TEXT, 
	CONSTRAINT assessments_pk PRIMARY KEY (assessment_id), 
	CONSTRAINT fk_assessments_trace_id FOREIGN KEY(trace_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE budget_policies (
	budget_policy_id VARCHAR(36) NOT NULL, 
	budget_unit VARCHAR(32) NOT NULL, 
	budget_amount FLOAT NOT NULL, 
	duration_unit VARCHAR(32) NOT NULL, 
	duration_value INTEGER NOT NULL, 
	target_scope VARCHAR(32) NOT NULL, 
	budget_action VARCHAR(32) NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, target_value VARCHAR(255), 
	CONSTRAINT budget_policies_pk PRIMARY KEY (budget_policy_id)
);
CREATE TABLE "datasets" (
	dataset_uuid VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	dataset_source_type VARCHAR(36) NOT NULL, 
	dataset_source TEXT NOT NULL, 
	dataset_schema TEXT, 
	dataset_profile TEXT, 
	CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest), 
	CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "datasets" VALUES('67b1536394274458b73fa2ed03e3cb2a',1,'diabetes','3cc8a7e86fbcfe2afb8869c386f47b66','code','{"tags": {"nbops.dataset": "diabetes@1", "nbops.dataset.source": "scikit-learn"}}',NULL,NULL);
INSERT INTO "datasets" VALUES('5ed640efc6e34f75a8a64c3423b4c545',5,'diabetes','3cc8a7e86fbcfe2afb8869c386f47b66','code','{"tags": {"nbops.dataset": "diabetes@1", "nbops.dataset.source": "scikit-learn"}}',NULL,NULL);
CREATE TABLE endpoint_bindings (
	endpoint_id VARCHAR(36) NOT NULL, 
	resource_type VARCHAR(50) NOT NULL, 
	resource_id VARCHAR(255) NOT NULL, 
	created_at BIGINT NOT NULL, 
	created_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), display_name VARCHAR(255), 
	CONSTRAINT endpoint_bindings_pk PRIMARY KEY (endpoint_id, resource_type, resource_id), 
	CONSTRAINT fk_endpoint_bindings_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE TABLE endpoint_model_mappings (
	mapping_id VARCHAR(36) NOT NULL, 
	endpoint_id VARCHAR(36) NOT NULL, 
	model_definition_id VARCHAR(36) NOT NULL, 
	weight FLOAT NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, linkage_type VARCHAR(64) DEFAULT 'PRIMARY' NOT NULL, fallback_order INTEGER, 
	CONSTRAINT endpoint_model_mappings_pk PRIMARY KEY (mapping_id), 
	CONSTRAINT fk_endpoint_model_mappings_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE, 
	CONSTRAINT fk_endpoint_model_mappings_model_definition_id FOREIGN KEY(model_definition_id) REFERENCES model_definitions (model_definition_id)
);
CREATE TABLE endpoint_tags (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	endpoint_id VARCHAR(36) NOT NULL, 
	CONSTRAINT endpoint_tag_pk PRIMARY KEY ("key", endpoint_id), 
	CONSTRAINT fk_endpoint_tags_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE TABLE "endpoints" (
	endpoint_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255), 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	routing_strategy VARCHAR(64), 
	fallback_config_json TEXT, 
	experiment_id INTEGER, 
	usage_tracking BOOLEAN DEFAULT '0' NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT endpoints_pk PRIMARY KEY (endpoint_id), 
	CONSTRAINT fk_endpoints_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE SET NULL, 
	CONSTRAINT uq_endpoints_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE entity_associations (
	association_id VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, 
	created_time BIGINT, 
	CONSTRAINT entity_associations_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
CREATE TABLE "evaluation_dataset_records" (
	dataset_record_id VARCHAR(36) NOT NULL, 
	dataset_id VARCHAR(36) NOT NULL, 
	inputs JSON NOT NULL, 
	expectations JSON, 
	tags JSON, 
	source JSON, 
	source_id VARCHAR(36), 
	source_type VARCHAR(255), 
	created_time BIGINT, 
	last_update_time BIGINT, 
	created_by VARCHAR(255), 
	last_updated_by VARCHAR(255), 
	input_hash VARCHAR(64) NOT NULL, outputs JSON, 
	CONSTRAINT evaluation_dataset_records_pk PRIMARY KEY (dataset_record_id), 
	CONSTRAINT fk_evaluation_dataset_records_dataset_id FOREIGN KEY(dataset_id) REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE, 
	CONSTRAINT unique_dataset_input UNIQUE (dataset_id, input_hash)
);
CREATE TABLE evaluation_dataset_tags (
	dataset_id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT evaluation_dataset_tags_pk PRIMARY KEY (dataset_id, "key"), 
	CONSTRAINT fk_evaluation_dataset_tags_dataset_id FOREIGN KEY(dataset_id) REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE
);
CREATE TABLE "evaluation_datasets" (
	dataset_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	schema TEXT, 
	profile TEXT, 
	digest VARCHAR(64), 
	created_time BIGINT, 
	last_update_time BIGINT, 
	created_by VARCHAR(255), 
	last_updated_by VARCHAR(255), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT evaluation_datasets_pk PRIMARY KEY (dataset_id)
);
CREATE TABLE experiment_tags (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	experiment_id INTEGER NOT NULL, 
	CONSTRAINT experiment_tag_pk PRIMARY KEY ("key", experiment_id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "experiments" VALUES(0,'Default','file:///home/ada/project/.nbops/artifacts/0','active',1795921620771,1795921620771,'default');
INSERT INTO "experiments" VALUES(1,'diabetes','file:///home/ada/project/.nbops/artifacts/diabetes','active',1795921620832,1795921620832,'default');
INSERT INTO "experiments" VALUES(2,'promotion','file:///home/ada/project/.nbops/artifacts/promotion','active',1795921636735,1795921636735,'default');
INSERT INTO "experiments" VALUES(3,'nbops-holdout','file:///home/ada/project/.nbops/artifacts/nbops-holdout','active',1795921637507,1795921637507,'default');
INSERT INTO "experiments" VALUES(4,'nbops-ledger','file:///home/ada/project/.nbops/artifacts/nbops-ledger','active',1795921640605,1795921640605,'default');
INSERT INTO "experiments" VALUES(5,'houses','file:///home/ada/project/.nbops/artifacts/houses','active',1795921668715,1795921668715,'default');
CREATE TABLE guardrail_configs (
	endpoint_id VARCHAR(36) NOT NULL, 
	guardrail_id VARCHAR(36) NOT NULL, 
	execution_order INTEGER, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT guardrail_configs_pk PRIMARY KEY (endpoint_id, guardrail_id), 
	CONSTRAINT fk_guardrail_configs_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE, 
	CONSTRAINT fk_guardrail_configs_guardrail_id FOREIGN KEY(guardrail_id) REFERENCES guardrails (guardrail_id) ON DELETE CASCADE
);
CREATE TABLE guardrails (
	guardrail_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	scorer_version INTEGER NOT NULL, 
	stage VARCHAR(32) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	action_endpoint_id VARCHAR(36), 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT guardrails_pk PRIMARY KEY (guardrail_id), 
	CONSTRAINT fk_guardrails_scorer_version FOREIGN KEY(scorer_id, scorer_version) REFERENCES scorer_versions (scorer_id, scorer_version), 
	CONSTRAINT fk_guardrails_action_endpoint_id FOREIGN KEY(action_endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE SET NULL
);
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO "inputs" VALUES('8cfc3caeba47460e9f88679d15ab19bb','DATASET','67b1536394274458b73fa2ed03e3cb2a','RUN','14bd40b1daea41b3b9759f40aaebb6e1',0);
INSERT INTO "inputs" VALUES('5433cd02a6274807863eb9fb70da8546','RUN_OUTPUT','14bd40b1daea41b3b9759f40aaebb6e1','MODEL_OUTPUT','m-482dac5cbe634b5a9cdf43eaee1de175',0);
INSERT INTO "inputs" VALUES('eaabadaf1003404f877f24c29121e4e2','DATASET','67b1536394274458b73fa2ed03e3cb2a','RUN','83fa5b86b91341aa8cf87efdcf932a2a',0);
INSERT INTO "inputs" VALUES('73cbc22d946a4684b689fdd87c52f783','RUN_OUTPUT','83fa5b86b91341aa8cf87efdcf932a2a','MODEL_OUTPUT','m-03280ffe2b5740a7af2241d76c6b8624',0);
INSERT INTO "inputs" VALUES('641157b37a114df4a7209364b527bfdb','DATASET','5ed640efc6e34f75a8a64c3423b4c545','RUN','54c287ec17a34d32bd27cd0fb54a459f',0);
INSERT INTO "inputs" VALUES('87ccfd0f3e794d7e9a7097d83e78f20f','RUN_OUTPUT','54c287ec17a34d32bd27cd0fb54a459f','MODEL_OUTPUT','m-e8ef506e34fe4b21a78768bd7bf219ff',0);
INSERT INTO "inputs" VALUES('3ad6c9246d46437bab44fa44570eb215','DATASET','5ed640efc6e34f75a8a64c3423b4c545','RUN','858ffc53309a43649c71ff0f84c84816',0);
INSERT INTO "inputs" VALUES('55611b2510484c9785b21e6f5bd5c5d2','RUN_OUTPUT','858ffc53309a43649c71ff0f84c84816','MODEL_OUTPUT','m-df756d06b62a4baca13f03efdaca3c8a',0);
CREATE TABLE issues (
	issue_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	description TEXT NOT NULL, 
	status VARCHAR(50) NOT NULL, 
	severity VARCHAR(50), 
	root_causes TEXT, 
	source_run_id VARCHAR(32), 
	categories TEXT, 
	created_timestamp BIGINT NOT NULL, 
	last_updated_timestamp BIGINT NOT NULL, 
	created_by VARCHAR(255), 
	CONSTRAINT issues_pk PRIMARY KEY (issue_id), 
	CONSTRAINT fk_issues_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT fk_issues_source_run_id FOREIGN KEY(source_run_id) REFERENCES runs (run_uuid) ON DELETE SET NULL
);
CREATE TABLE "jobs" (
	id VARCHAR(36) NOT NULL, 
	creation_time BIGINT NOT NULL, 
	job_name VARCHAR(500) NOT NULL, 
	params TEXT NOT NULL, 
	timeout FLOAT, 
	status INTEGER NOT NULL, 
	result TEXT, 
	retry_count INTEGER NOT NULL, 
	last_update_time BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, status_details JSON, 
	CONSTRAINT jobs_pk PRIMARY KEY (id)
);
CREATE TABLE label_schemas (
	schema_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	instruction TEXT, 
	enable_comment BOOLEAN DEFAULT '0' NOT NULL, 
	input_type VARCHAR(32) NOT NULL, 
	input_config TEXT NOT NULL, 
	created_by VARCHAR(255), 
	created_time BIGINT NOT NULL, 
	last_update_time BIGINT NOT NULL, 
	is_default BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT label_schemas_pk PRIMARY KEY (schema_id), 
	CONSTRAINT fk_label_schemas_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT uq_label_schemas_exp_name UNIQUE (experiment_id, name)
);
CREATE TABLE "latest_metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT, 
	step BIGINT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT latest_metric_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "latest_metrics" VALUES('rmse',5.92090666173079185332e+01,1795921626540,0,0,'14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "latest_metrics" VALUES('mae',4.62294960956443787844e+01,1795921626540,0,0,'14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "latest_metrics" VALUES('r2',4.91071913829000950002e-01,1795921626540,0,0,'14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "latest_metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921626540,0,0,'14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "latest_metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921626540,0,0,'14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "latest_metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921626540,0,0,'14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "latest_metrics" VALUES('challenger_rmse',5.47554829116201702277e+01,1795921637959,0,0,'a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "latest_metrics" VALUES('champion_rmse',8.02163503092936593964e+01,1795921637963,0,0,'a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "latest_metrics" VALUES('gain',2.54608673976734891644e+01,1795921637965,0,0,'a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "latest_metrics" VALUES('rmse',5.94873694305061491167e+01,1795921649821,0,0,'83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "latest_metrics" VALUES('mae',4.6243528862987055561e+01,1795921649821,0,0,'83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "latest_metrics" VALUES('r2',4.86276398707886303718e-01,1795921649821,0,0,'83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "latest_metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921649821,0,0,'83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "latest_metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921649821,0,0,'83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "latest_metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921649821,0,0,'83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "latest_metrics" VALUES('rmse',7.14097728829023736807e+01,1795921669621,0,0,'54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "latest_metrics" VALUES('mae',6.12510031187168948454e+01,1795921669621,0,0,'54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "latest_metrics" VALUES('r2',2.59721233130072892691e-01,1795921669621,0,0,'54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "latest_metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921669621,0,0,'54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "latest_metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921669621,0,0,'54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "latest_metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921669621,0,0,'54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "latest_metrics" VALUES('challenger_rmse',6.73150054028010771381e+01,1795921678065,0,0,'8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "latest_metrics" VALUES('champion_rmse',8.02163503092936593964e+01,1795921678069,0,0,'8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "latest_metrics" VALUES('gain',1.2901344906492582254e+01,1795921678070,0,0,'8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "latest_metrics" VALUES('rmse',5.94642257672283704996e+01,1795921696704,0,0,'858ffc53309a43649c71ff0f84c84816');
INSERT INTO "latest_metrics" VALUES('mae',4.62534991901461367547e+01,1795921696704,0,0,'858ffc53309a43649c71ff0f84c84816');
INSERT INTO "latest_metrics" VALUES('r2',4.866760510493914893e-01,1795921696704,0,0,'858ffc53309a43649c71ff0f84c84816');
INSERT INTO "latest_metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921696704,0,0,'858ffc53309a43649c71ff0f84c84816');
INSERT INTO "latest_metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921696704,0,0,'858ffc53309a43649c71ff0f84c84816');
INSERT INTO "latest_metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921696704,0,0,'858ffc53309a43649c71ff0f84c84816');
INSERT INTO "latest_metrics" VALUES('challenger_rmse',5.46137626584212227971e+01,1795921711416,0,0,'a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "latest_metrics" VALUES('champion_rmse',6.73150054028010771381e+01,1795921711425,0,0,'a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "latest_metrics" VALUES('gain',1.27012427443798543431e+01,1795921711428,0,0,'a591778e2fa54679ae444c0c08b2a3da');
CREATE TABLE logged_model_metrics (
	model_id VARCHAR(36) NOT NULL, 
	metric_name VARCHAR(500) NOT NULL, 
	metric_timestamp_ms BIGINT NOT NULL, 
	metric_step BIGINT NOT NULL, 
	metric_value FLOAT, 
	experiment_id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	dataset_uuid VARCHAR(36), 
	dataset_name VARCHAR(500), 
	dataset_digest VARCHAR(36), 
	CONSTRAINT logged_model_metrics_pk PRIMARY KEY (model_id, metric_name, metric_timestamp_ms, metric_step, run_id), 
	CONSTRAINT fk_logged_model_metrics_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE, 
	CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE
);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "logged_models" VALUES('m-482dac5cbe634b5a9cdf43eaee1de175',1,'Pipeline','file:///home/ada/project/.nbops/artifacts/diabetes/models/m-482dac5cbe634b5a9cdf43eaee1de175/artifacts',1795921628146,1795921628165,2,'active',NULL,'14bd40b1daea41b3b9759f40aaebb6e1',NULL);
INSERT INTO "logged_models" VALUES('m-03280ffe2b5740a7af2241d76c6b8624',1,'Pipeline','file:///home/ada/project/.nbops/artifacts/diabetes/models/m-03280ffe2b5740a7af2241d76c6b8624/artifacts',1795921650015,1795921650025,2,'active',NULL,'83fa5b86b91341aa8cf87efdcf932a2a',NULL);
INSERT INTO "logged_models" VALUES('m-e8ef506e34fe4b21a78768bd7bf219ff',5,'Pipeline','file:///home/ada/project/.nbops/artifacts/houses/models/m-e8ef506e34fe4b21a78768bd7bf219ff/artifacts',1795921669813,1795921669825,2,'active',NULL,'54c287ec17a34d32bd27cd0fb54a459f',NULL);
INSERT INTO "logged_models" VALUES('m-df756d06b62a4baca13f03efdaca3c8a',5,'Pipeline','file:///home/ada/project/.nbops/artifacts/houses/models/m-df756d06b62a4baca13f03efdaca3c8a/artifacts',1795921696951,1795921696977,2,'active',NULL,'858ffc53309a43649c71ff0f84c84816',NULL);
CREATE TABLE mcp_access_endpoints (
	id VARCHAR(36) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	server_name VARCHAR(256) NOT NULL, 
	server_version VARCHAR(128), 
	server_alias VARCHAR(256), 
	url VARCHAR(2048) NOT NULL, 
	transport_type VARCHAR(32) DEFAULT 'streamable-http' NOT NULL, 
	created_by VARCHAR(256), 
	last_updated_by VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	last_updated_at BIGINT NOT NULL, 
	CONSTRAINT mcp_access_endpoints_pk PRIMARY KEY (id), 
	CONSTRAINT mcp_access_endpoints_server_fkey FOREIGN KEY(workspace, server_name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_aliases (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	alias VARCHAR(256) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	CONSTRAINT mcp_server_aliases_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT mcp_server_aliases_server_fkey FOREIGN KEY(workspace, name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_tags (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT mcp_server_tags_pk PRIMARY KEY (workspace, name, "key"), 
	CONSTRAINT mcp_server_tags_server_fkey FOREIGN KEY(workspace, name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_version_tags (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT mcp_server_version_tags_pk PRIMARY KEY (workspace, name, version, "key"), 
	CONSTRAINT mcp_server_version_tags_version_fkey FOREIGN KEY(workspace, name, version) REFERENCES mcp_server_versions (workspace, name, version) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_versions (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	version_major INTEGER NOT NULL, 
	version_minor INTEGER NOT NULL, 
	version_patch INTEGER NOT NULL, 
	version_prerelease_sort_key VARCHAR(512) NOT NULL, 
	server_json JSON NOT NULL, 
	status VARCHAR(20) DEFAULT 'draft' NOT NULL, 
	tools JSON, 
	source VARCHAR(512), 
	connect_options JSON, 
	created_by VARCHAR(256), 
	last_updated_by VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	last_updated_at BIGINT NOT NULL, 
	CONSTRAINT mcp_server_versions_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT mcp_server_versions_server_fkey FOREIGN KEY(workspace, name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_servers (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	display_name VARCHAR(256), 
	description TEXT, 
	icons JSON, 
	created_by VARCHAR(256), 
	last_updated_by VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	last_updated_at BIGINT NOT NULL, 
	CONSTRAINT mcp_servers_pk PRIMARY KEY (workspace, name)
);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "metrics" VALUES('rmse',5.92090666173079185332e+01,1795921626540,'14bd40b1daea41b3b9759f40aaebb6e1',0,0);
INSERT INTO "metrics" VALUES('mae',4.62294960956443787844e+01,1795921626540,'14bd40b1daea41b3b9759f40aaebb6e1',0,0);
INSERT INTO "metrics" VALUES('r2',4.91071913829000950002e-01,1795921626540,'14bd40b1daea41b3b9759f40aaebb6e1',0,0);
INSERT INTO "metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921626540,'14bd40b1daea41b3b9759f40aaebb6e1',0,0);
INSERT INTO "metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921626540,'14bd40b1daea41b3b9759f40aaebb6e1',0,0);
INSERT INTO "metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921626540,'14bd40b1daea41b3b9759f40aaebb6e1',0,0);
INSERT INTO "metrics" VALUES('challenger_rmse',5.47554829116201702277e+01,1795921637959,'a7dfd436f7b74d8b86e7ad398107a6af',0,0);
INSERT INTO "metrics" VALUES('champion_rmse',8.02163503092936593964e+01,1795921637963,'a7dfd436f7b74d8b86e7ad398107a6af',0,0);
INSERT INTO "metrics" VALUES('gain',2.54608673976734891644e+01,1795921637965,'a7dfd436f7b74d8b86e7ad398107a6af',0,0);
INSERT INTO "metrics" VALUES('rmse',5.94873694305061491167e+01,1795921649821,'83fa5b86b91341aa8cf87efdcf932a2a',0,0);
INSERT INTO "metrics" VALUES('mae',4.6243528862987055561e+01,1795921649821,'83fa5b86b91341aa8cf87efdcf932a2a',0,0);
INSERT INTO "metrics" VALUES('r2',4.86276398707886303718e-01,1795921649821,'83fa5b86b91341aa8cf87efdcf932a2a',0,0);
INSERT INTO "metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921649821,'83fa5b86b91341aa8cf87efdcf932a2a',0,0);
INSERT INTO "metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921649821,'83fa5b86b91341aa8cf87efdcf932a2a',0,0);
INSERT INTO "metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921649821,'83fa5b86b91341aa8cf87efdcf932a2a',0,0);
INSERT INTO "metrics" VALUES('rmse',7.14097728829023736807e+01,1795921669621,'54c287ec17a34d32bd27cd0fb54a459f',0,0);
INSERT INTO "metrics" VALUES('mae',6.12510031187168948454e+01,1795921669621,'54c287ec17a34d32bd27cd0fb54a459f',0,0);
INSERT INTO "metrics" VALUES('r2',2.59721233130072892691e-01,1795921669621,'54c287ec17a34d32bd27cd0fb54a459f',0,0);
INSERT INTO "metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921669621,'54c287ec17a34d32bd27cd0fb54a459f',0,0);
INSERT INTO "metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921669621,'54c287ec17a34d32bd27cd0fb54a459f',0,0);
INSERT INTO "metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921669621,'54c287ec17a34d32bd27cd0fb54a459f',0,0);
INSERT INTO "metrics" VALUES('challenger_rmse',6.73150054028010771381e+01,1795921678065,'8e4e094f58b24cd68a7de833ec669391',0,0);
INSERT INTO "metrics" VALUES('champion_rmse',8.02163503092936593964e+01,1795921678069,'8e4e094f58b24cd68a7de833ec669391',0,0);
INSERT INTO "metrics" VALUES('gain',1.2901344906492582254e+01,1795921678070,'8e4e094f58b24cd68a7de833ec669391',0,0);
INSERT INTO "metrics" VALUES('rmse',5.94642257672283704996e+01,1795921696704,'858ffc53309a43649c71ff0f84c84816',0,0);
INSERT INTO "metrics" VALUES('mae',4.62534991901461367547e+01,1795921696704,'858ffc53309a43649c71ff0f84c84816',0,0);
INSERT INTO "metrics" VALUES('r2',4.866760510493914893e-01,1795921696704,'858ffc53309a43649c71ff0f84c84816',0,0);
INSERT INTO "metrics" VALUES('baseline_rmse',8.34656741193921476468e+01,1795921696704,'858ffc53309a43649c71ff0f84c84816',0,0);
INSERT INTO "metrics" VALUES('baseline_mae',7.22518236429950633237e+01,1795921696704,'858ffc53309a43649c71ff0f84c84816',0,0);
INSERT INTO "metrics" VALUES('baseline_r2',-1.13367756340216896404e-02,1795921696704,'858ffc53309a43649c71ff0f84c84816',0,0);
INSERT INTO "metrics" VALUES('challenger_rmse',5.46137626584212227971e+01,1795921711416,'a591778e2fa54679ae444c0c08b2a3da',0,0);
INSERT INTO "metrics" VALUES('champion_rmse',6.73150054028010771381e+01,1795921711425,'a591778e2fa54679ae444c0c08b2a3da',0,0);
INSERT INTO "metrics" VALUES('gain',1.27012427443798543431e+01,1795921711428,'a591778e2fa54679ae444c0c08b2a3da',0,0);
CREATE TABLE "model_definitions" (
	model_definition_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	secret_id VARCHAR(36), 
	provider VARCHAR(64) NOT NULL, 
	model_name VARCHAR(256) NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_definitions_pk PRIMARY KEY (model_definition_id), 
	CONSTRAINT fk_model_definitions_secret_id FOREIGN KEY(secret_id) REFERENCES secrets (secret_id) ON DELETE SET NULL, 
	CONSTRAINT uq_model_definitions_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE "model_version_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, "key", name, version), 
	CONSTRAINT fk_model_version_tags_model_versions FOREIGN KEY(workspace, name, version) REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE
);
INSERT INTO "model_version_tags" VALUES('nbops.decision.run','a7dfd436f7b74d8b86e7ad398107a6af','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.ready','predicted','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.model.sha256','2405d0a3e65a20c5e7bf30d257c335f2358d3032deeca5093f205bbd97c5cde7','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.golden','promotion/golden-792065aab3ddefe0.json#792065aab3ddefe0a2acae9ea3c8a9ccdcb0da97b272a2f3fb6092003b348ab7','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.decision.card','runs:/a7dfd436f7b74d8b86e7ad398107a6af/promotion/card.html','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.reason','run 14bd40b1 (diabetes_ridge) wins on the 127 holdout rows of diabetes@1: rmse 54.7555 against 80.2164 of the mean of the training rows: a gain of 25.4609, with 99.5 % confidence above 16.6873; more than 0 wanted','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.before.prod','none','diabetes',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.decision.run','8e4e094f58b24cd68a7de833ec669391','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.ready','predicted','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.model.sha256','b3140d0152dea36ab14964c2f04773510240d682af39a28664fc17d2920493bd','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.golden','promotion/golden-700fa2ab5b5c8472.json#700fa2ab5b5c8472827a39e9d582857410601bf9127e08b6a6ce9f532d17e2b9','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.decision.card','runs:/8e4e094f58b24cd68a7de833ec669391/promotion/card.html','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.reason','run 54c287ec (diabetes_ridge experiment=houses,alpha=1000.0) wins on the 127 holdout rows of diabetes@1: rmse 67.315 against 80.2164 of the mean of the training rows: a gain of 12.9013, with 99.5 % confidence above 9.43805; more than 0 wanted','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.before.prod','none','houses',1,'default');
INSERT INTO "model_version_tags" VALUES('nbops.decision.run','a591778e2fa54679ae444c0c08b2a3da','houses',2,'default');
INSERT INTO "model_version_tags" VALUES('nbops.ready','predicted','houses',2,'default');
INSERT INTO "model_version_tags" VALUES('nbops.model.sha256','008dc5122b6bcd0f3416c2ae11e5237664592f37aa89e5f4a44aa83bed6b3faa','houses',2,'default');
INSERT INTO "model_version_tags" VALUES('nbops.golden','promotion/golden-f7ee1f55b539e6c5.json#f7ee1f55b539e6c5517877b06e64c64b8226f01eaf57d3ecec188444ece0d561','houses',2,'default');
INSERT INTO "model_version_tags" VALUES('nbops.decision.card','runs:/a591778e2fa54679ae444c0c08b2a3da/promotion/card.html','houses',2,'default');
CREATE TABLE "model_versions" (
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	user_id VARCHAR(256), 
	current_stage VARCHAR(20), 
	source VARCHAR(500), 
	run_id VARCHAR(32), 
	status VARCHAR(20), 
	status_message VARCHAR(500), 
	run_link VARCHAR(500), 
	storage_location VARCHAR(500), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT fk_model_versions_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
INSERT INTO "model_versions" VALUES('diabetes',1,1795921637775,1795921637775,NULL,NULL,'None','file:///home/ada/project/.nbops/artifacts/diabetes/14bd40b1daea41b3b9759f40aaebb6e1/artifacts/model','14bd40b1daea41b3b9759f40aaebb6e1','READY',NULL,NULL,'file:///home/ada/project/.nbops/artifacts/diabetes/14bd40b1daea41b3b9759f40aaebb6e1/artifacts/model','default');
INSERT INTO "model_versions" VALUES('houses',1,1795921677847,1795921677847,NULL,NULL,'None','file:///home/ada/project/.nbops/artifacts/houses/54c287ec17a34d32bd27cd0fb54a459f/artifacts/model','54c287ec17a34d32bd27cd0fb54a459f','READY',NULL,NULL,'file:///home/ada/project/.nbops/artifacts/houses/54c287ec17a34d32bd27cd0fb54a459f/artifacts/model','default');
INSERT INTO "model_versions" VALUES('houses',2,1795921711022,1795921711022,NULL,NULL,'None','file:///home/ada/project/.nbops/artifacts/houses/858ffc53309a43649c71ff0f84c84816/artifacts/model','858ffc53309a43649c71ff0f84c84816','READY',NULL,NULL,'file:///home/ada/project/.nbops/artifacts/houses/858ffc53309a43649c71ff0f84c84816/artifacts/model','default');
CREATE TABLE online_scoring_configs (
	online_scoring_config_id VARCHAR(36) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	sample_rate FLOAT NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	filter_string TEXT, 
	CONSTRAINT online_scoring_config_pk PRIMARY KEY (online_scoring_config_id), 
	CONSTRAINT fk_online_scoring_configs_scorer_id FOREIGN KEY(scorer_id) REFERENCES scorers (scorer_id) ON DELETE CASCADE, 
	CONSTRAINT fk_online_scoring_configs_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('dataset','diabetes@1','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "params" VALUES('alpha','10.0','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "params" VALUES('experiment','diabetes','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "params" VALUES('experiment','diabetes','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('model_name','','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('metric','rmse','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('positive','','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('min_gain','0.0','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('max_candidates','5','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('challengers','1','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('dataset','','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('order_by','','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('target','local','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('stages','','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('dry_run','False','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('reason','','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "params" VALUES('dataset','diabetes@1','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "params" VALUES('alpha','0.2','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "params" VALUES('experiment','diabetes','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "params" VALUES('dataset','diabetes@1','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "params" VALUES('alpha','1000.0','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "params" VALUES('experiment','houses','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "params" VALUES('experiment','houses','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('model_name','','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('metric','rmse','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('positive','','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('min_gain','0.0','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('max_candidates','5','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('challengers','1','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('dataset','','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('order_by','','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('target','local','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('stages','','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('dry_run','False','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('reason','','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "params" VALUES('dataset','diabetes@1','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "params" VALUES('alpha','0.5','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "params" VALUES('experiment','houses','858ffc53309a43649c71ff0f84c84816');
CREATE TABLE "registered_model_aliases" (
	alias VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "registered_model_aliases" VALUES('champion',1,'diabetes','default');
INSERT INTO "registered_model_aliases" VALUES('champion',1,'houses','default');
CREATE TABLE "registered_model_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, "key", name), 
	CONSTRAINT fk_registered_model_tags_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
CREATE TABLE "registered_models" (
	name VARCHAR(256) NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)
);
INSERT INTO "registered_models" VALUES('diabetes',1795921637764,1795921637775,NULL,'default');
INSERT INTO "registered_models" VALUES('houses',1795921677839,1795921711022,NULL,'default');
CREATE TABLE review_queue_items (
	queue_id VARCHAR(36) NOT NULL, 
	item_type VARCHAR(16) NOT NULL, 
	item_id VARCHAR(50) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	completed_by VARCHAR(250), 
	completed_time_ms BIGINT, 
	creation_time_ms BIGINT NOT NULL, 
	last_update_time_ms BIGINT NOT NULL, 
	CONSTRAINT review_queue_items_pk PRIMARY KEY (queue_id, item_id), 
	CONSTRAINT fk_review_queue_items_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queue_label_schemas (
	queue_id VARCHAR(36) NOT NULL, 
	schema_id VARCHAR(36) NOT NULL, 
	CONSTRAINT review_queue_label_schemas_pk PRIMARY KEY (queue_id, schema_id), 
	CONSTRAINT fk_review_queue_label_schemas_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queue_users (
	queue_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(250) NOT NULL, 
	CONSTRAINT review_queue_users_pk PRIMARY KEY (queue_id, user_id), 
	CONSTRAINT fk_review_queue_users_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queues (
	queue_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	queue_type VARCHAR(16) NOT NULL, 
	created_by VARCHAR(255), 
	creation_time_ms BIGINT NOT NULL, 
	last_update_time_ms BIGINT NOT NULL, 
	name_key VARCHAR(250) NOT NULL, 
	CONSTRAINT review_queues_pk PRIMARY KEY (queue_id), 
	CONSTRAINT fk_review_queues_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT uq_review_queues_experiment_name_key UNIQUE (experiment_id, name_key)
);
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('14bd40b1daea41b3b9759f40aaebb6e1','diabetes_ridge','UNKNOWN','','','ada','FINISHED',1795921620834,1795921629585,'','active','file:///home/ada/project/.nbops/artifacts/diabetes/14bd40b1daea41b3b9759f40aaebb6e1/artifacts',1,NULL);
INSERT INTO "runs" VALUES('a7dfd436f7b74d8b86e7ad398107a6af','promote dry_run=False','UNKNOWN','','','ada','FINISHED',1795921636737,1795921641949,'','active','file:///home/ada/project/.nbops/artifacts/promotion/a7dfd436f7b74d8b86e7ad398107a6af/artifacts',2,NULL);
INSERT INTO "runs" VALUES('a40255a571154296b94268a5ac851169','rows of diabetes@1','UNKNOWN','','','unknown','FINISHED',1795921637509,1795921637532,'','active','file:///home/ada/project/.nbops/artifacts/nbops-holdout/a40255a571154296b94268a5ac851169/artifacts',3,NULL);
INSERT INTO "runs" VALUES('f265affb2b9645d2ad2d9996bb8ffe96','use of diabetes@1','UNKNOWN','','','unknown','FINISHED',1795921637536,1795921637603,'','active','file:///home/ada/project/.nbops/artifacts/nbops-holdout/f265affb2b9645d2ad2d9996bb8ffe96/artifacts',3,NULL);
INSERT INTO "runs" VALUES('6bc7bcf8b3f24ebc9e5cc964f40a9af1','diabetes prod: traffic none -> 1=100','UNKNOWN','','','unknown','FINISHED',1795921640614,1795921640642,'','active','file:///home/ada/project/.nbops/artifacts/nbops-ledger/6bc7bcf8b3f24ebc9e5cc964f40a9af1/artifacts',4,NULL);
INSERT INTO "runs" VALUES('197fab53c35e446996175a5c02492f2a','diabetes prod: mark none -> 1','UNKNOWN','','','unknown','FINISHED',1795921640715,1795921640747,'','active','file:///home/ada/project/.nbops/artifacts/nbops-ledger/197fab53c35e446996175a5c02492f2a/artifacts',4,NULL);
INSERT INTO "runs" VALUES('83fa5b86b91341aa8cf87efdcf932a2a','diabetes_ridge alpha=0.2','UNKNOWN','','','ada','FINISHED',1795921648869,1795921650867,'','active','file:///home/ada/project/.nbops/artifacts/diabetes/83fa5b86b91341aa8cf87efdcf932a2a/artifacts',1,NULL);
INSERT INTO "runs" VALUES('54c287ec17a34d32bd27cd0fb54a459f','diabetes_ridge experiment=houses,alpha=1000.0','UNKNOWN','','','ada','FINISHED',1795921668718,1795921670794,'','active','file:///home/ada/project/.nbops/artifacts/houses/54c287ec17a34d32bd27cd0fb54a459f/artifacts',5,NULL);
INSERT INTO "runs" VALUES('8e4e094f58b24cd68a7de833ec669391','promote experiment=houses,dry_run=False','UNKNOWN','','','ada','FINISHED',1795921676466,1795921682940,'','active','file:///home/ada/project/.nbops/artifacts/promotion/8e4e094f58b24cd68a7de833ec669391/artifacts',2,NULL);
INSERT INTO "runs" VALUES('cbfde33cbbbb4deb8d8eae05d7576e47','use of diabetes@1','UNKNOWN','','','unknown','FINISHED',1795921677592,1795921677661,'','active','file:///home/ada/project/.nbops/artifacts/nbops-holdout/cbfde33cbbbb4deb8d8eae05d7576e47/artifacts',3,NULL);
INSERT INTO "runs" VALUES('7076a6184a9445e289cf4d90aa49871e','houses prod: traffic none -> 1=100','UNKNOWN','','','unknown','FINISHED',1795921681131,1795921681182,'','active','file:///home/ada/project/.nbops/artifacts/nbops-ledger/7076a6184a9445e289cf4d90aa49871e/artifacts',4,NULL);
INSERT INTO "runs" VALUES('386a1aec575a4ebca95f1fb7897deca0','houses prod: mark none -> 1','UNKNOWN','','','unknown','FINISHED',1795921681321,1795921681360,'','active','file:///home/ada/project/.nbops/artifacts/nbops-ledger/386a1aec575a4ebca95f1fb7897deca0/artifacts',4,NULL);
INSERT INTO "runs" VALUES('858ffc53309a43649c71ff0f84c84816','diabetes_ridge experiment=houses,alpha=0.5','UNKNOWN','','','ada','FINISHED',1795921695339,1795921698640,'','active','file:///home/ada/project/.nbops/artifacts/houses/858ffc53309a43649c71ff0f84c84816/artifacts',5,NULL);
INSERT INTO "runs" VALUES('a591778e2fa54679ae444c0c08b2a3da','promote experiment=houses,dry_run=False','UNKNOWN','','','ada','RUNNING',1795921708095,NULL,'','active','file:///home/ada/project/.nbops/artifacts/promotion/a591778e2fa54679ae444c0c08b2a3da/artifacts',2,NULL);
INSERT INTO "runs" VALUES('fa64501bbb134aebb6a9d3d79d894dab','use of diabetes@1','UNKNOWN','','','unknown','FINISHED',1795921710404,1795921710577,'','active','file:///home/ada/project/.nbops/artifacts/nbops-holdout/fa64501bbb134aebb6a9d3d79d894dab/artifacts',3,NULL);
CREATE TABLE scorer_versions (
	scorer_id VARCHAR(36) NOT NULL, 
	scorer_version INTEGER NOT NULL, 
	serialized_scorer TEXT NOT NULL, 
	creation_time BIGINT, 
	CONSTRAINT scorer_version_pk PRIMARY KEY (scorer_id, scorer_version), 
	CONSTRAINT fk_scorer_versions_scorer_id FOREIGN KEY(scorer_id) REFERENCES scorers (scorer_id) ON DELETE CASCADE
);
CREATE TABLE scorers (
	experiment_id INTEGER NOT NULL, 
	scorer_name VARCHAR(256) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	CONSTRAINT scorer_pk PRIMARY KEY (scorer_id), 
	CONSTRAINT fk_scorers_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE "secrets" (
	secret_id VARCHAR(36) NOT NULL, 
	secret_name VARCHAR(255) NOT NULL, 
	encrypted_value BLOB NOT NULL, 
	wrapped_dek BLOB NOT NULL, 
	kek_version INTEGER NOT NULL, 
	masked_value VARCHAR(500) NOT NULL, 
	provider VARCHAR(64), 
	auth_config TEXT, 
	description TEXT, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT secrets_pk PRIMARY KEY (secret_id), 
	CONSTRAINT uq_secrets_workspace_secret_name UNIQUE (workspace, secret_name)
);
CREATE TABLE span_metrics (
	trace_id VARCHAR(50) NOT NULL, 
	span_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT, 
	CONSTRAINT span_metrics_pk PRIMARY KEY (trace_id, span_id, "key"), 
	CONSTRAINT fk_span_metrics_span FOREIGN KEY(trace_id, span_id) REFERENCES spans (trace_id, span_id) ON DELETE CASCADE
);
CREATE TABLE spans (
	trace_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	span_id VARCHAR(50) NOT NULL, 
	parent_span_id VARCHAR(50), 
	name TEXT, 
	type VARCHAR(500), 
	status VARCHAR(50) NOT NULL, 
	start_time_unix_nano BIGINT NOT NULL, 
	end_time_unix_nano BIGINT, 
	duration_ns BIGINT GENERATED ALWAYS AS (end_time_unix_nano - start_time_unix_nano) STORED, 
	content TEXT NOT NULL, dimension_attributes JSON, 
	CONSTRAINT spans_pk PRIMARY KEY (trace_id, span_id), 
	CONSTRAINT fk_spans_trace_id FOREIGN KEY(trace_id) REFERENCES trace_info (request_id) ON DELETE CASCADE, 
	CONSTRAINT fk_spans_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('mlflow.user','ada','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.source.name','experimentation/diabetes_ridge.ipynb','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.notebook','experimentation/diabetes_ridge.ipynb','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.host','lab','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.owner.pid','11255','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/520788','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.note.content','Does ridge regression predict disease progression better than the mean?

Diabetes goes on fast in one person and slowly in another. A forecast made at a check-up would help to see those first
who need it most, but only if it beats the plainest forecast there is: the same average for everyone. This notebook fits
the simplest model that could do so, a linear one with a penalty on large coefficients, and says whether it does.

- **Data:** ten measurements of a person at the start, and a score of how far the disease had gone one year later.
- **Leaves behind:** one MLflow run with parameters, metrics of the model and of the average, a figure and the model.
- **Without an editor:** `nbops run experimentation/diabetes_ridge.ipynb -p alpha=1.0`','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.parameters','{"dataset": "diabetes@1", "alpha": 10.0, "experiment": "diabetes"}','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.code.sha256','20ae220321bd8f54645d57c8e4b30d2d481463168087b690246378a5f39c59a1','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','66cf36f6be0847b3779c1fc9b490d2b7fe9d73bd2d8bff6f59137cdc70290058','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.runName','diabetes_ridge','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.dataset.diabetes','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.model','model','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.model.source','file:///home/ada/project/.nbops/artifacts/diabetes/14bd40b1daea41b3b9759f40aaebb6e1/artifacts/model','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.model.format','skops','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.model.logged','m-482dac5cbe634b5a9cdf43eaee1de175','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.fingerprint.run','e8f20a401783d7afeb898aa401723eb922c863637c528917de1e61b048b5a391','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.kernel','warm','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.peak_memory_mb','411.1','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','14bd40b1daea41b3b9759f40aaebb6e1');
INSERT INTO "tags" VALUES('mlflow.user','ada','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.notebook','production/promote.ipynb','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.host','lab','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.owner.pid','11465','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/522197','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.note.content','Promote the best run

Is the best run of an experiment better than the model that serves now? This notebook answers with reasons and, when it is told to, puts the winner in service.

For real it changes two things: the registry (a new version, and the champion''s mark) and the endpoint of the model''s name. Whoever may change those may run it for real. By default it changes neither: it says what it would do. The question itself costs one use of the holdout; the same question again, for real, costs none.

Headless: `nbops promote` for the answer, `nbops promote --live` to carry it out.','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.parameters','{"experiment": "diabetes", "model_name": "", "metric": "rmse", "positive": "", "min_gain": 0.0, "max_candidates": 5, "challengers": 1, "dataset": "", "order_by": "", "target": "local", "stages": "", "dry_run": false, "reason": ""}','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.code.sha256','c3e405fe1eb9d0792176881c3c3cc4b8749cd9c3eb1df97c144709d62bb5d618','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','273aab4d796eb98597e757be7c46ec34df49e3a514fa6c0a54520044eb6ec6cf','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.runName','promote dry_run=False','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.holdout.rows','c49ba8c6a61a999019ededb3c508081804bc20488c9ff0a2ff7eede4289ab228','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.holdout.dataset','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.holdout.columns','5d23a1536cdf71ff','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('mlflow.runName','rows of diabetes@1','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('mlflow.parentRunId','a7dfd436f7b74d8b86e7ad398107a6af','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.owner.run','a7dfd436f7b74d8b86e7ad398107a6af','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.owner.pid','11483','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/522769','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.holdout.done','listed','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.holdout.rows','c49ba8c6a61a999019ededb3c508081804bc20488c9ff0a2ff7eede4289ab228','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.holdout.dataset','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.holdout.question','171b274e2cae71eeefa0f0748f7158aea14f9a41b929a3a7b720405741837036','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.holdout.level','0.005','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.holdout.reader','promotion of diabetes','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('mlflow.runName','use of diabetes@1','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('mlflow.parentRunId','a7dfd436f7b74d8b86e7ad398107a6af','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.owner.run','a7dfd436f7b74d8b86e7ad398107a6af','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.owner.pid','11483','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/522769','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.holdout.done','answered','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.decision.model','diabetes','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.decision.version','1','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.reason','run 14bd40b1 (diabetes_ridge) wins on the 127 holdout rows of diabetes@1: rmse 54.7555 against 80.2164 of the mean of the training rows: a gain of 25.4609, with 99.5 % confidence above 16.6873; more than 0 wanted','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.promoted','true','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.decision','promote','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.ledger.model','diabetes','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.stage','prod','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.what','traffic','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.to','1=100','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.reason','promotion: run 14bd40b1 (diabetes_ridge) wins on the 127 holdout rows of diabetes@1: rmse 54.7555 against 80.2164 of the mean of the training rows: a gain of 25.4609, with 99.5 % confidence above 16.6873; more than 0 wanted','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.run','a7dfd436f7b74d8b86e7ad398107a6af','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.who','ada@lab','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger','20261129T030718.017293-082f4c-5','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('mlflow.runName','diabetes prod: traffic none -> 1=100','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('mlflow.parentRunId','a7dfd436f7b74d8b86e7ad398107a6af','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.owner.run','a7dfd436f7b74d8b86e7ad398107a6af','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.owner.pid','11483','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/522769','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.ledger.model','diabetes','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger.stage','prod','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger.what','mark','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger.to','1','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger.reason','promotion: run 14bd40b1 (diabetes_ridge) wins on the 127 holdout rows of diabetes@1: rmse 54.7555 against 80.2164 of the mean of the training rows: a gain of 25.4609, with 99.5 % confidence above 16.6873; more than 0 wanted','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger.run','a7dfd436f7b74d8b86e7ad398107a6af','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger.who','ada@lab','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.ledger','20261129T030718.017293-082f4c-mark','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('mlflow.runName','diabetes prod: mark none -> 1','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('mlflow.parentRunId','a7dfd436f7b74d8b86e7ad398107a6af','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.owner.run','a7dfd436f7b74d8b86e7ad398107a6af','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.owner.pid','11483','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/522769','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.decision.release','promotion/release.json','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','197fab53c35e446996175a5c02492f2a');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','6bc7bcf8b3f24ebc9e5cc964f40a9af1');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','f265affb2b9645d2ad2d9996bb8ffe96');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','a40255a571154296b94268a5ac851169');
INSERT INTO "tags" VALUES('nbops.fingerprint.run','7001b41a249fe04b297b7ea042d8ff7677e01bec274e23b91c9c9db713920c4c','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.kernel','warm','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.peak_memory_mb','349.0','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','a7dfd436f7b74d8b86e7ad398107a6af');
INSERT INTO "tags" VALUES('mlflow.user','ada','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.source.name','experimentation/diabetes_ridge.ipynb','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.notebook','experimentation/diabetes_ridge.ipynb','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.host','lab','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.owner.pid','11252','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/520788','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.note.content','Does ridge regression predict disease progression better than the mean?

Diabetes goes on fast in one person and slowly in another. A forecast made at a check-up would help to see those first
who need it most, but only if it beats the plainest forecast there is: the same average for everyone. This notebook fits
the simplest model that could do so, a linear one with a penalty on large coefficients, and says whether it does.

- **Data:** ten measurements of a person at the start, and a score of how far the disease had gone one year later.
- **Leaves behind:** one MLflow run with parameters, metrics of the model and of the average, a figure and the model.
- **Without an editor:** `nbops run experimentation/diabetes_ridge.ipynb -p alpha=1.0`','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.parameters','{"dataset": "diabetes@1", "alpha": 0.2, "experiment": "diabetes"}','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.code.sha256','20ae220321bd8f54645d57c8e4b30d2d481463168087b690246378a5f39c59a1','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','daa461af4f21309698e9720a725a1ed0195dd8331c9c0aebef935de5bbb9b20c','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.runName','diabetes_ridge alpha=0.2','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.dataset.diabetes','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.model','model','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.model.source','file:///home/ada/project/.nbops/artifacts/diabetes/83fa5b86b91341aa8cf87efdcf932a2a/artifacts/model','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.model.format','skops','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.model.logged','m-03280ffe2b5740a7af2241d76c6b8624','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.fingerprint.run','470b57e803d3d9366ccfe11e244bad73dfd7b4544469148c784c6de59d560d7a','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.kernel','warm','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.peak_memory_mb','344.2','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','83fa5b86b91341aa8cf87efdcf932a2a');
INSERT INTO "tags" VALUES('mlflow.user','ada','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.source.name','experimentation/diabetes_ridge.ipynb','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.notebook','experimentation/diabetes_ridge.ipynb','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.host','lab','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.owner.pid','12143','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/525603','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.note.content','Does ridge regression predict disease progression better than the mean?

Diabetes goes on fast in one person and slowly in another. A forecast made at a check-up would help to see those first
who need it most, but only if it beats the plainest forecast there is: the same average for everyone. This notebook fits
the simplest model that could do so, a linear one with a penalty on large coefficients, and says whether it does.

- **Data:** ten measurements of a person at the start, and a score of how far the disease had gone one year later.
- **Leaves behind:** one MLflow run with parameters, metrics of the model and of the average, a figure and the model.
- **Without an editor:** `nbops run experimentation/diabetes_ridge.ipynb -p alpha=1.0`','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.parameters','{"dataset": "diabetes@1", "alpha": 1000.0, "experiment": "houses"}','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.code.sha256','20ae220321bd8f54645d57c8e4b30d2d481463168087b690246378a5f39c59a1','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','1c18b5a616f1dccde1fbccea7fbb4b335a7502f61ca4ed2cb6fdeb82cd9da373','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.runName','diabetes_ridge experiment=houses,alpha=1000.0','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.dataset.diabetes','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.model','model','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.model.source','file:///home/ada/project/.nbops/artifacts/houses/54c287ec17a34d32bd27cd0fb54a459f/artifacts/model','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.model.format','skops','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.model.logged','m-e8ef506e34fe4b21a78768bd7bf219ff','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.fingerprint.run','86a3da8eb0feb7c5e5cf2d8cae4ea9346da54e889ab32117d0663878f5883ddf','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.kernel','warm','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.peak_memory_mb','344.2','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','54c287ec17a34d32bd27cd0fb54a459f');
INSERT INTO "tags" VALUES('mlflow.user','ada','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.notebook','production/promote.ipynb','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.host','lab','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.owner.pid','12451','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/526289','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.note.content','Promote the best run

Is the best run of an experiment better than the model that serves now? This notebook answers with reasons and, when it is told to, puts the winner in service.

For real it changes two things: the registry (a new version, and the champion''s mark) and the endpoint of the model''s name. Whoever may change those may run it for real. By default it changes neither: it says what it would do. The question itself costs one use of the holdout; the same question again, for real, costs none.

Headless: `nbops promote` for the answer, `nbops promote --live` to carry it out.','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.parameters','{"experiment": "houses", "model_name": "", "metric": "rmse", "positive": "", "min_gain": 0.0, "max_candidates": 5, "challengers": 1, "dataset": "", "order_by": "", "target": "local", "stages": "", "dry_run": false, "reason": ""}','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.code.sha256','c3e405fe1eb9d0792176881c3c3cc4b8749cd9c3eb1df97c144709d62bb5d618','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','dd524ec5cf54cfe327d946e6827395fd8915b91053314dd3daf44467141793f9','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.runName','promote experiment=houses,dry_run=False','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.holdout.rows','c49ba8c6a61a999019ededb3c508081804bc20488c9ff0a2ff7eede4289ab228','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.holdout.dataset','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.holdout.question','e75df001739322a323abb2e87d12dd80e50bae7816935ac26aa62a41ecc269ed','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.holdout.level','0.005','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.holdout.reader','promotion of houses','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('mlflow.runName','use of diabetes@1','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('mlflow.parentRunId','8e4e094f58b24cd68a7de833ec669391','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.owner.run','8e4e094f58b24cd68a7de833ec669391','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.owner.pid','12674','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/526742','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.holdout.done','answered','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.decision.model','houses','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.decision.version','1','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.reason','run 54c287ec (diabetes_ridge experiment=houses,alpha=1000.0) wins on the 127 holdout rows of diabetes@1: rmse 67.315 against 80.2164 of the mean of the training rows: a gain of 12.9013, with 99.5 % confidence above 9.43805; more than 0 wanted','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.promoted','true','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.decision','promote','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.ledger.model','houses','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.stage','prod','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.what','traffic','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.to','1=100','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.reason','promotion: run 54c287ec (diabetes_ridge experiment=houses,alpha=1000.0) wins on the 127 holdout rows of diabetes@1: rmse 67.315 against 80.2164 of the mean of the training rows: a gain of 12.9013, with 99.5 % confidence above 9.43805; more than 0 wanted','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.run','8e4e094f58b24cd68a7de833ec669391','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.who','ada@lab','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger','20261129T030758.117846-51b52d-5','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('mlflow.runName','houses prod: traffic none -> 1=100','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('mlflow.parentRunId','8e4e094f58b24cd68a7de833ec669391','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.owner.run','8e4e094f58b24cd68a7de833ec669391','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.owner.pid','12674','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/526742','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.ledger.model','houses','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger.stage','prod','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger.what','mark','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger.to','1','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger.reason','promotion: run 54c287ec (diabetes_ridge experiment=houses,alpha=1000.0) wins on the 127 holdout rows of diabetes@1: rmse 67.315 against 80.2164 of the mean of the training rows: a gain of 12.9013, with 99.5 % confidence above 9.43805; more than 0 wanted','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger.run','8e4e094f58b24cd68a7de833ec669391','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger.who','ada@lab','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.ledger','20261129T030758.117846-51b52d-mark','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('mlflow.runName','houses prod: mark none -> 1','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('mlflow.parentRunId','8e4e094f58b24cd68a7de833ec669391','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.owner.run','8e4e094f58b24cd68a7de833ec669391','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.owner.pid','12674','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/526742','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.decision.release','promotion/release.json','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','386a1aec575a4ebca95f1fb7897deca0');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','7076a6184a9445e289cf4d90aa49871e');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','cbfde33cbbbb4deb8d8eae05d7576e47');
INSERT INTO "tags" VALUES('nbops.fingerprint.run','41de4eede88559d770a07c73daba2569639245100f3992ce0920e367e6c02f3e','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.kernel','warm','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.peak_memory_mb','348.9','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','8e4e094f58b24cd68a7de833ec669391');
INSERT INTO "tags" VALUES('mlflow.user','ada','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.source.name','experimentation/diabetes_ridge.ipynb','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.notebook','experimentation/diabetes_ridge.ipynb','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.host','lab','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.owner.pid','12939','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/527779','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.note.content','Does ridge regression predict disease progression better than the mean?

Diabetes goes on fast in one person and slowly in another. A forecast made at a check-up would help to see those first
who need it most, but only if it beats the plainest forecast there is: the same average for everyone. This notebook fits
the simplest model that could do so, a linear one with a penalty on large coefficients, and says whether it does.

- **Data:** ten measurements of a person at the start, and a score of how far the disease had gone one year later.
- **Leaves behind:** one MLflow run with parameters, metrics of the model and of the average, a figure and the model.
- **Without an editor:** `nbops run experimentation/diabetes_ridge.ipynb -p alpha=1.0`','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.parameters','{"dataset": "diabetes@1", "alpha": 0.5, "experiment": "houses"}','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.code.sha256','20ae220321bd8f54645d57c8e4b30d2d481463168087b690246378a5f39c59a1','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','133a7dd0b10148d2095ea22e5a9e053dd97e5e42d5231a71e7d52e2f7513d161','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.runName','diabetes_ridge experiment=houses,alpha=0.5','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.dataset.diabetes','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.model','model','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.model.source','file:///home/ada/project/.nbops/artifacts/houses/858ffc53309a43649c71ff0f84c84816/artifacts/model','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.model.format','skops','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.model.logged','m-df756d06b62a4baca13f03efdaca3c8a','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.fingerprint.run','3de0df0e9e65e698a2ea2a173622e5be9301bb14688ac22c5269bc789f93feb1','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.kernel','warm','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.peak_memory_mb','344.1','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('nbops.end','FINISHED','858ffc53309a43649c71ff0f84c84816');
INSERT INTO "tags" VALUES('mlflow.user','ada','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.notebook','production/promote.ipynb','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.host','lab','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.version','0.1.0','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.lock.sha256','7e09a995f20824d709a3e9a3c831ee6fd518b06ce26135e4356311cce8ed4ce6','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('mlflow.source.git.commit','750dbb34e7b7ce063561302752a0701485645d35','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('mlflow.source.git.branch','HEAD','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.git.dirty','false','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.owner.pid','13401','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/529141','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('mlflow.note.content','Promote the best run

Is the best run of an experiment better than the model that serves now? This notebook answers with reasons and, when it is told to, puts the winner in service.

For real it changes two things: the registry (a new version, and the champion''s mark) and the endpoint of the model''s name. Whoever may change those may run it for real. By default it changes neither: it says what it would do. The question itself costs one use of the holdout; the same question again, for real, costs none.

Headless: `nbops promote` for the answer, `nbops promote --live` to carry it out.','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.parameters','{"experiment": "houses", "model_name": "", "metric": "rmse", "positive": "", "min_gain": 0.0, "max_candidates": 5, "challengers": 1, "dataset": "", "order_by": "", "target": "local", "stages": "", "dry_run": false, "reason": ""}','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.code.sha256','c3e405fe1eb9d0792176881c3c3cc4b8749cd9c3eb1df97c144709d62bb5d618','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.fingerprint.source','dd524ec5cf54cfe327d946e6827395fd8915b91053314dd3daf44467141793f9','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.own_reads','notebooks_lib/tracking/datasets/access.py: read_table','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('mlflow.runName','promote experiment=houses,dry_run=False','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.holdout.rows','c49ba8c6a61a999019ededb3c508081804bc20488c9ff0a2ff7eede4289ab228','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.holdout.dataset','diabetes@1#3cc8a7e86fbcfe2afb8869c386f47b667c10875e2984c5a2f9aacff077f94806','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.holdout.question','94aaad5c91011f0acd776f767ec99a4486a536bd0178b234df461f332f425968','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.holdout.level','0.005','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.holdout.reader','promotion of houses','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('mlflow.runName','use of diabetes@1','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('mlflow.parentRunId','a591778e2fa54679ae444c0c08b2a3da','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.owner.run','a591778e2fa54679ae444c0c08b2a3da','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.owner.host','lab','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.owner.pid','13584','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.owner.started','fad443cf-c4b6-4f13-91c5-a3b0a88d2360/529918','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('mlflow.source.name','production/promote.ipynb','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('mlflow.source.type','NOTEBOOK','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.holdout.done','answered','fa64501bbb134aebb6a9d3d79d894dab');
INSERT INTO "tags" VALUES('nbops.decision.model','houses','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.decision.version','2','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.decision.previous','1','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.reason','run 858ffc53 (diabetes_ridge experiment=houses,alpha=0.5) wins on the 127 holdout rows of diabetes@1: rmse 54.6138 against 67.315 of version 1: a gain of 12.7012, with 99.5 % confidence above 6.42657; more than 0 wanted','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.promoted','false','a591778e2fa54679ae444c0c08b2a3da');
INSERT INTO "tags" VALUES('nbops.decision','promote','a591778e2fa54679ae444c0c08b2a3da');
CREATE TABLE "trace_info" (
	request_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	execution_time_ms BIGINT, 
	status VARCHAR(50) NOT NULL, 
	client_request_id VARCHAR(50), 
	request_preview VARCHAR(1000), 
	response_preview VARCHAR(1000), 
	db_payload_generation INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT trace_info_pk PRIMARY KEY (request_id), 
	CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE trace_metrics (
	request_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT, 
	CONSTRAINT trace_metrics_pk PRIMARY KEY (request_id, "key"), 
	CONSTRAINT fk_trace_metrics_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE "trace_request_metadata" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_request_metadata_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE "trace_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_tag_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_tags_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE webhook_events (
	webhook_id VARCHAR(256) NOT NULL, 
	entity VARCHAR(50) NOT NULL, 
	action VARCHAR(50) NOT NULL, 
	CONSTRAINT webhook_event_pk PRIMARY KEY (webhook_id, entity, action), 
	FOREIGN KEY(webhook_id) REFERENCES webhooks (webhook_id) ON DELETE cascade
);
CREATE TABLE "webhooks" (
	webhook_id VARCHAR(256) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	description VARCHAR(1000), 
	url VARCHAR(500) NOT NULL, 
	status VARCHAR(20) DEFAULT 'ACTIVE' NOT NULL, 
	secret VARCHAR(1000), 
	creation_timestamp BIGINT, 
	last_updated_timestamp BIGINT, 
	deleted_timestamp BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT webhook_pk PRIMARY KEY (webhook_id)
);
CREATE TABLE workspaces (
	name VARCHAR(63) NOT NULL, 
	description TEXT, 
	default_artifact_root TEXT, trace_archival_location TEXT, trace_archival_retention VARCHAR(32), 
	CONSTRAINT workspaces_pk PRIMARY KEY (name)
);
INSERT INTO "workspaces" VALUES('default','Default workspace for legacy resources',NULL,NULL,NULL);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE INDEX index_inputs_destination_type_destination_id_source_type ON inputs (destination_type, destination_id, source_type);
CREATE INDEX index_inputs_input_uuid ON inputs (input_uuid);
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_trace_tags_request_id ON trace_tags (request_id);
CREATE INDEX index_trace_request_metadata_request_id ON trace_request_metadata (request_id);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE INDEX index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE INDEX index_datasets_experiment_id_dataset_source_type ON datasets (experiment_id, dataset_source_type);
CREATE INDEX index_logged_model_metrics_model_id ON logged_model_metrics (model_id);
CREATE INDEX index_assessments_trace_id_created_timestamp ON assessments (trace_id, created_timestamp);
CREATE INDEX index_assessments_run_id_created_timestamp ON assessments (run_id, created_timestamp);
CREATE INDEX index_assessments_last_updated_timestamp ON assessments (last_updated_timestamp);
CREATE INDEX index_assessments_assessment_type ON assessments (assessment_type);
CREATE INDEX index_spans_experiment_id_status_type ON spans (experiment_id, status, type);
CREATE INDEX index_spans_experiment_id_type_status ON spans (experiment_id, type, status);
CREATE INDEX index_spans_experiment_id_duration ON spans (experiment_id, duration_ns);
CREATE INDEX index_entity_associations_association_id ON entity_associations (association_id);
CREATE INDEX index_entity_associations_reverse_lookup ON entity_associations (destination_type, destination_id, source_type, source_id);
CREATE INDEX idx_webhook_events_entity ON webhook_events (entity);
CREATE INDEX idx_webhook_events_action ON webhook_events (action);
CREATE INDEX idx_webhook_events_entity_action ON webhook_events (entity, action);
CREATE UNIQUE INDEX index_scorers_experiment_id_scorer_name ON scorers (experiment_id, scorer_name);
CREATE INDEX index_scorer_versions_scorer_id ON scorer_versions (scorer_id);
CREATE INDEX index_evaluation_dataset_tags_dataset_id ON evaluation_dataset_tags (dataset_id);
CREATE INDEX index_evaluation_dataset_records_dataset_id ON evaluation_dataset_records (dataset_id);
CREATE INDEX index_endpoint_model_mappings_endpoint_id ON endpoint_model_mappings (endpoint_id);
CREATE INDEX index_endpoint_model_mappings_model_definition_id ON endpoint_model_mappings (model_definition_id);
CREATE INDEX index_endpoint_tags_endpoint_id ON endpoint_tags (endpoint_id);
CREATE INDEX index_trace_metrics_request_id ON trace_metrics (request_id);
CREATE UNIQUE INDEX unique_endpoint_model_linkage_mapping ON endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type);
CREATE INDEX index_span_metrics_trace_id_span_id ON span_metrics (trace_id, span_id);
CREATE INDEX index_evaluation_datasets_created_time ON evaluation_datasets (created_time);
CREATE INDEX index_evaluation_datasets_name ON evaluation_datasets (name);
CREATE INDEX idx_webhooks_name ON webhooks (name);
CREATE INDEX idx_webhooks_status ON webhooks (status);
CREATE TRIGGER prevent_secrets_aad_mutation
BEFORE UPDATE ON secrets
FOR EACH ROW
WHEN OLD.secret_id != NEW.secret_id OR OLD.secret_name != NEW.secret_name
BEGIN
    SELECT RAISE(ABORT, 'secret_id and secret_name are immutable (used as AAD in encryption)');
END;
CREATE INDEX index_model_definitions_provider ON model_definitions (provider);
CREATE INDEX index_model_definitions_secret_id ON model_definitions (secret_id);
CREATE INDEX index_jobs_name_status_creation_time ON jobs (job_name, workspace, status, creation_time);
CREATE INDEX idx_experiments_workspace ON experiments (workspace);
CREATE INDEX idx_registered_models_workspace ON registered_models (workspace);
CREATE INDEX idx_experiments_workspace_creation_time ON experiments (workspace, creation_time);
CREATE INDEX idx_evaluation_datasets_workspace ON evaluation_datasets (workspace);
CREATE INDEX idx_webhooks_workspace ON webhooks (workspace);
CREATE INDEX idx_secrets_workspace ON secrets (workspace);
CREATE INDEX idx_endpoints_workspace ON endpoints (workspace);
CREATE INDEX idx_model_definitions_workspace ON model_definitions (workspace);
CREATE INDEX idx_budget_policies_workspace ON budget_policies (workspace);
CREATE INDEX index_issues_experiment_id ON issues (experiment_id);
CREATE INDEX index_issues_source_run_id ON issues (source_run_id);
CREATE INDEX index_issues_status ON issues (status);
CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, "key", step);
CREATE INDEX idx_guardrails_workspace ON guardrails (workspace);
CREATE INDEX idx_guardrails_scorer ON guardrails (scorer_id, scorer_version);
CREATE INDEX idx_guardrail_configs_endpoint_id ON guardrail_configs (endpoint_id);
CREATE INDEX idx_guardrail_configs_guardrail_id ON guardrail_configs (guardrail_id);
CREATE INDEX idx_model_version_tags_workspace_name_version ON model_version_tags (workspace, name, version);
CREATE INDEX idx_registered_model_tags_workspace_name ON registered_model_tags (workspace, name);
CREATE INDEX index_label_schemas_experiment_id ON label_schemas (experiment_id);
CREATE INDEX index_review_queues_experiment_id ON review_queues (experiment_id);
CREATE INDEX index_review_queue_users_user_id ON review_queue_users (user_id);
CREATE INDEX index_review_queue_items_queue_id_status ON review_queue_items (queue_id, status);
CREATE INDEX index_review_queue_items_item_id ON review_queue_items (item_id);
CREATE INDEX index_review_queue_label_schemas_schema_id ON review_queue_label_schemas (schema_id);
CREATE INDEX idx_mcp_server_versions_latest ON mcp_server_versions (workspace, name, status, version_major DESC, version_minor DESC, version_patch DESC);
CREATE INDEX ix_mcp_access_endpoints_server_name ON mcp_access_endpoints (workspace, server_name);
CREATE INDEX ix_mcp_access_endpoints_version ON mcp_access_endpoints (workspace, server_name, server_version);
CREATE INDEX ix_mcp_access_endpoints_alias ON mcp_access_endpoints (workspace, server_name, server_alias);
CREATE INDEX index_spans_experiment_id_start_time ON spans (experiment_id, start_time_unix_nano);
CREATE INDEX idx_budget_policies_target_value ON budget_policies (target_value);
CREATE INDEX index_trace_info_experiment_id_timestamp_ms ON trace_info (experiment_id, timestamp_ms);
COMMIT;
