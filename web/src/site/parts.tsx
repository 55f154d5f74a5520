import { useState, type FormEvent, type ReactNode } from "react";
import {
  Button,
  Checkbox,
  CheckboxGroup,
  Dialog,
  FieldError,
  Form,
  Group,
  Heading,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Modal,
  ModalOverlay,
  NumberField,
  Select,
  SelectValue,
  Text,
  TextField,
} from "react-aria-components";

import { Over } from "../ui/parts";

/** A field for one line of text. */
export function Field({
  label,
  value,
  onChange,
  type = "text",
  hint,
  error,
  autoComplete = "off",
  required = true,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  type?: "text" | "password" | "number";
  hint?: ReactNode;
  error?: string | null;
  autoComplete?: string;
  required?: boolean;
}) {
  return (
    <TextField
      className="control"
      value={value}
      onChange={onChange}
      type={type}
      isRequired={required}
      isInvalid={error != null}
      autoComplete={autoComplete}
      validationBehavior="aria"
    >
      <Label>{label}</Label>
      <Input className="field" />
      {hint === undefined ? null : <Text slot="description">{hint}</Text>}
      <FieldError>{error}</FieldError>
    </TextField>
  );
}

/** A whole number within bounds. */
export function Quantity({
  label,
  value,
  least,
  most,
  onChange,
  hint,
}: {
  label: string;
  value: number;
  least: number;
  most: number;
  onChange: (value: number) => void;
  hint?: ReactNode;
}) {
  return (
    <NumberField
      className="control many"
      value={value}
      minValue={least}
      maxValue={most}
      onChange={(changed) => {
        if (Number.isInteger(changed)) onChange(changed);
      }}
    >
      <Label>{label}</Label>
      <Group className={most > 9_999 ? "stepper wide" : "stepper"}>
        <Button slot="decrement">−</Button>
        <Input className="field" />
        <Button slot="increment">+</Button>
      </Group>
      {hint === undefined ? null : <Text slot="description">{hint}</Text>}
    </NumberField>
  );
}

/** Something that is wanted or not. */
export function Check({
  isSelected,
  onChange,
  children,
}: {
  isSelected: boolean;
  onChange: (wanted: boolean) => void;
  children: ReactNode;
}) {
  return (
    <Checkbox className="check" isSelected={isSelected} onChange={onChange}>
      <Tick />
      {children}
    </Checkbox>
  );
}

/** Any of several. */
export function Several({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string[];
  options: readonly string[];
  onChange: (value: string[]) => void;
}) {
  return (
    <CheckboxGroup className="control" value={value} onChange={onChange}>
      <Label>{label}</Label>
      <div className="checks">
        {options.map((one) => (
          <Checkbox key={one} value={one} className="check">
            <Tick />
            {one}
          </Checkbox>
        ))}
      </div>
    </CheckboxGroup>
  );
}

function Tick() {
  return (
    <svg className="tick" viewBox="0 0 18 18" aria-hidden="true">
      <path d="M4 9.5l3.5 3.5L14 5.5" />
    </svg>
  );
}

/** A choice of one among a few. */
export function Choice<T extends string>({
  label,
  value,
  options,
  onChange,
  placeholder = "Choose",
  isDisabled = false,
  hideLabel = false,
}: {
  label: string;
  value: T | "";
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  placeholder?: string;
  isDisabled?: boolean;
  hideLabel?: boolean;
}) {
  return (
    <Select
      className="choice"
      value={value === "" ? null : value}
      onChange={(key) => onChange(key as T)}
      placeholder={placeholder}
      isDisabled={isDisabled}
    >
      <Label className={hideLabel ? "hidden" : "react-aria-Label"}>{label}</Label>
      <Button>
        <SelectValue />
        <span aria-hidden="true">▾</span>
      </Button>
      <Over className="popover list">
        <ListBox items={options.map(([id, name]) => ({ id, name }))}>
          {(item) => <ListBoxItem id={item.id}>{item.name}</ListBoxItem>}
        </ListBox>
      </Over>
    </Select>
  );
}

/** What went wrong with what was just tried. */
export function Trouble({ children }: { children: ReactNode }) {
  if (children === null || children === undefined || children === "") return null;
  return (
    <p className="trouble" role="alert">
      {children}
    </p>
  );
}

/** A window over the page, for one thing that has to be done or left. */
export function Window({
  title,
  isOpen,
  onClose,
  children,
}: {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
}) {
  return (
    <ModalOverlay
      className="overlay"
      isDismissable
      isOpen={isOpen}
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
    >
      <Modal className="modal">
        <Dialog className="window">
          <Heading slot="title">{title}</Heading>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

/** A form that says what went wrong, and does one thing at a time. */
export function Doing({
  action,
  label,
  onDone,
  isReady = true,
  danger = false,
  children,
  beside,
}: {
  action: () => Promise<void>;
  label: string;
  onDone?: () => void;
  isReady?: boolean;
  danger?: boolean;
  children?: ReactNode;
  beside?: ReactNode;
}) {
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isPending, setPending] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!isReady || isPending) return;
    setPending(true);
    setTrouble(null);
    try {
      await action();
      onDone?.();
    } catch (error) {
      setTrouble(sentence(error));
    } finally {
      setPending(false);
    }
  };
  return (
    <Form className="doing" onSubmit={(event) => void submit(event)}>
      {children}
      <Trouble>{trouble}</Trouble>
      <div className="actions">
        <Button
          type="submit"
          className={danger ? "primary danger" : "primary"}
          isDisabled={!isReady}
          aria-busy={isPending}
        >
          {isPending ? "One moment…" : label}
        </Button>
        {beside}
      </div>
    </Form>
  );
}

/** Messages of the node begin small, because programs put them behind a colon. */
export function sentence(error: unknown): string {
  const text = error instanceof TypeError
    ? "The node cannot be reached. Nothing was changed."
    : error instanceof Error
      ? error.message
      : String(error);
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/** A secret that is shown once, to be copied. */
export function Once({ value, label }: { value: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(value).then(() => setCopied(true));
  };
  return (
    <div className="once">
      <code>{value}</code>
      <Button aria-label={`Copy ${label}`} onPress={copy}>
        {copied ? "Copied" : "Copy"}
      </Button>
    </div>
  );
}

/** Saves a file that was made here. */
export function save(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
